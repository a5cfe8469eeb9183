"""Messages of AutoGen's agents and teams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from autogen_agentchat import messages as autogen_messages
from autogen_agentchat.messages import BaseChatMessage, MultiModalMessage
from autogen_core import FunctionCall, Image
from autogen_core.models import AssistantMessage, FunctionExecutionResult, FunctionExecutionResultMessage, SystemMessage

from agentrun.integration.autogen_events import SAID_BEFORE
from agentrun.server.frameworks.parts import Part, labelled_text, name_of, parts_of, raw_arguments, tool_names
from agentrun.server.model import Message, MessageRole


# Teams know messages by the name of their class, and take no other.
class TextMessage(autogen_messages.TextMessage):
    """A message that the model is told as what it is, `told`: AutoGen itself would have the user say everything."""

    told: Any

    def to_model_message(self) -> Any:
        """What the model is told."""
        return self.told


def messages(request_messages: Sequence[Message]) -> list[BaseChatMessage]:
    """The messages as a task: `agent.run_stream(task=msgs)`.

    Calls are messages of their own, and so are their results. Images that came with a message are shown, other media
    are named.
    """
    names = tool_names(request_messages)
    return [made for message in request_messages for made in _messages(message, names)]


def _messages(message: Message, names: dict[str, str]) -> Iterator[BaseChatMessage]:
    text = labelled_text(message)
    if message.role is MessageRole.USER:
        yield _asked(message, text)
    elif message.role is MessageRole.SYSTEM:
        yield _told(message, text, SystemMessage(content=text))
    elif message.role is MessageRole.TOOL:
        call_id = message.tool_call_id or ""
        result = FunctionExecutionResult(content=text, name=names.get(call_id, ""), call_id=call_id)
        yield _told(message, text, FunctionExecutionResultMessage(content=[result]))
    else:
        yield from _answered(message, text)


def _answered(message: Message, text: str) -> Iterator[BaseChatMessage]:
    """Words, or calls, to which words are a thought in AutoGen."""
    calls = [
        FunctionCall(id=call.id, name=name_of(call), arguments=raw_arguments(call)) for call in message.tool_calls or ()
    ]
    thoughts = [message.reasoning_content] if message.reasoning_content else []
    if calls:
        thoughts += [text] if text else []
        shown = ", ".join(f"{call.name}({call.arguments})" for call in calls)
        yield _told(message, shown, _said(message, calls, thoughts))
    else:
        yield _told(message, text, _said(message, text, thoughts))


def _said(message: Message, content: Any, thoughts: Sequence[str]) -> AssistantMessage:
    return AssistantMessage(content=content, thought="\n".join(thoughts) or None, source=_source(message))


def _asked(message: Message, text: str) -> BaseChatMessage:
    pieces = [_piece(part) for part in parts_of(message)]
    more: dict[str, Any] = {"source": _source(message), "metadata": {SAID_BEFORE: "true"}}
    if any(isinstance(piece, Image) for piece in pieces):
        return MultiModalMessage(content=pieces, **more)
    return autogen_messages.TextMessage(content=text, **more)


def _told(message: Message, text: str, told: Any) -> BaseChatMessage:
    return TextMessage(content=text, source=_source(message), told=told, metadata={SAID_BEFORE: "true"})


def _source(message: Message) -> str:
    return message.name or message.role.value


def _piece(part: Part) -> str | Image:
    """An image that can be read, else words."""
    if part.kind == "image" and part.data is not None:
        try:
            return Image.from_base64(part.data)
        except (OSError, ValueError):
            return part.label
    return part.text or part.label
