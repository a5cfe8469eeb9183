"""Messages of AgentScope 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agentscope.message import (
    Base64Source,
    ContentBlock,
    DataBlock,
    Msg,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    ToolCallState,
    ToolResultBlock,
    ToolResultState,
    URLSource,
)
from pydantic import AnyUrl

from agentrun.server.frameworks.parts import Part, labelled_text, name_of, parts_of, raw_arguments, tool_names
from agentrun.server.model import Message, MessageRole


def messages(request_messages: Sequence[Message]) -> list[Msg]:
    """The messages as `Msg` with blocks; results of tools belong to the answer whose calls they are of."""
    names = tool_names(request_messages)
    answered = {message.tool_call_id for message in request_messages}
    made: list[Msg] = []
    for message in request_messages:
        blocks = list(_blocks(message, names, answered))
        if message.role is MessageRole.TOOL and made and made[-1].role == "assistant":
            made[-1].content += blocks
        else:
            made.append(_message(message, blocks))
    return made


def _message(message: Message, blocks: list[ContentBlock]) -> Msg:
    role: Any = "assistant" if message.role is MessageRole.TOOL else message.role.value
    named: dict[str, Any] = {"id": message.id} if message.id else {}
    return Msg(name=message.name or role, content=blocks, role=role, **named)


def _blocks(message: Message, names: dict[str, str], answered: set[str | None]) -> Iterator[ContentBlock]:
    if message.role is MessageRole.TOOL:
        yield _result(message, names)
        return
    if message.reasoning_content:
        yield ThinkingBlock(thinking=message.reasoning_content)
    if message.role is MessageRole.SYSTEM:
        yield TextBlock(text=labelled_text(message))
    else:
        yield from map(_block, parts_of(message))
    for call in message.tool_calls or ():
        state: Any = ToolCallState.FINISHED if call.id in answered else ToolCallState.PENDING
        yield ToolCallBlock(id=call.id, name=name_of(call), input=raw_arguments(call), state=state)


def _result(message: Message, names: dict[str, str]) -> ToolResultBlock:
    call_id = message.tool_call_id or ""
    output = [_block(part) for part in parts_of(message)]
    state: Any = ToolResultState.SUCCESS
    return ToolResultBlock(id=call_id, name=names.get(call_id, ""), output=output, state=state)


def _block(part: Part) -> TextBlock | DataBlock:
    if part.kind != "text" and part.data is not None:
        source: Any = Base64Source(data=part.data, media_type=part.media_type)
    elif part.url is not None:
        source = URLSource(url=AnyUrl(part.url), media_type=part.media_type)
    else:
        return TextBlock(text=part.text or ("" if part.kind == "text" else part.label))
    return DataBlock(source=source, name=part.filename)
