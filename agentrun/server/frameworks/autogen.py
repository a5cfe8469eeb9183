"""Messages of AutoGen's agents and teams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from autogen_agentchat.messages import BaseChatMessage, MultiModalMessage, TextMessage, ToolCallSummaryMessage
from autogen_core import FunctionCall, Image
from autogen_core.models import FunctionExecutionResult

from agentrun.server.frameworks.parts import Part, labelled_text, name_of, parts_of, raw_arguments, tool_names
from agentrun.server.model import Message, MessageRole


def messages(request_messages: Sequence[Message]) -> list[BaseChatMessage]:
    """The messages as a task: `agent.run_stream(task=msgs)`; a thought is `metadata["reasoning_content"]`.

    Calls and their results are a summary each, as agents of AutoGen tell them. Images that came with the message are
    shown; other media are named.
    """
    names = tool_names(request_messages)
    calls = {call.id: raw_arguments(call) for message in request_messages for call in message.tool_calls or ()}
    answered = {message.tool_call_id for message in request_messages}
    made: list[BaseChatMessage] = []
    for message in request_messages:
        if message.role is MessageRole.TOOL:
            call_id = message.tool_call_id or ""
            made.append(_summary(call_id, names.get(call_id, ""), calls.get(call_id, "{}"), labelled_text(message)))
        else:
            made += _said(message)
            waiting = [call for call in message.tool_calls or () if call.id not in answered]
            made += [_summary(call.id, name_of(call), raw_arguments(call), None) for call in waiting]
    return made


def _said(message: Message) -> Iterator[BaseChatMessage]:
    source = message.name or message.role.value
    more: dict[str, Any] = {"source": source, "metadata": _metadata(message)}
    pieces = [_piece(part) for part in parts_of(message)]
    if any(isinstance(piece, Image) for piece in pieces):
        yield MultiModalMessage(content=pieces, **more)
    elif message.content or message.reasoning_content or message.role is MessageRole.USER:
        yield TextMessage(content=labelled_text(message), **more)


def _metadata(message: Message) -> dict[str, str]:
    return {"reasoning_content": message.reasoning_content} if message.reasoning_content else {}


def _summary(call_id: str, name: str, arguments: str, result: str | None) -> BaseChatMessage:
    """A call with its result, without one while it waits for that."""
    call = FunctionCall(id=call_id, name=name, arguments=arguments)
    told = f"{name}({arguments})"
    if result is None:
        return ToolCallSummaryMessage(content=told, tool_calls=[call], results=[], source="assistant")
    results = [FunctionExecutionResult(content=result, name=name, call_id=call_id)]
    return ToolCallSummaryMessage(content=f"{told}: {result}", tool_calls=[call], results=results, source="assistant")


def _piece(part: Part) -> str | Image:
    """An image that can be read, else words."""
    if part.kind == "image" and part.data is not None:
        try:
            return Image.from_base64(part.data)
        except (OSError, ValueError):
            return part.label
    return part.text or part.label
