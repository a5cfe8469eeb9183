"""Messages of AgentScope 1.0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agentscope.message import Msg

from agentrun.server.frameworks.parts import Part, arguments_of, name_of, parts_of, raw_arguments, tool_names
from agentrun.server.model import Message, MessageRole, ToolCall

_SEEN = ("image", "audio", "video")


def messages(request_messages: Sequence[Message]) -> list[Msg]:
    """The messages as `Msg` with blocks; results of tools are said by the system.

    AgentScope 1.0 has no block for files: one is named in the text, and whole in `metadata["files"]`.
    """
    names = tool_names(request_messages)
    return [_message(message, names) for message in request_messages]


def _message(message: Message, names: dict[str, str]) -> Msg:
    role: Any = "system" if message.role is MessageRole.TOOL else message.role.value
    if message.role is MessageRole.TOOL:
        call_id = message.tool_call_id or ""
        content = [_result(message, call_id, names.get(call_id, ""))]
    else:
        content = list(_blocks(message))
    made = Msg(message.name or role, content, role, metadata=_metadata(message))
    made.id = message.id or made.id
    return made


def _metadata(message: Message) -> dict[str, Any] | None:
    files = [{**vars(part)} for part in parts_of(message) if part.kind == "file"]
    return {"files": files} if files else None


def _result(message: Message, call_id: str, name: str) -> Any:
    return {"type": "tool_result", "id": call_id, "name": name, "output": [_block(part) for part in parts_of(message)]}


def _blocks(message: Message) -> Iterator[Any]:
    if message.reasoning_content:
        yield {"type": "thinking", "thinking": message.reasoning_content}
    yield from map(_block, parts_of(message))
    yield from map(_call, message.tool_calls or ())


def _call(call: ToolCall) -> Any:
    named = {"type": "tool_use", "id": call.id, "name": name_of(call)}
    return {**named, "input": arguments_of(call) or {}, "raw_input": raw_arguments(call)}


def _block(part: Part) -> Any:
    if part.kind in _SEEN and part.data is not None:
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        return {"type": part.kind, "source": source}
    if part.kind in _SEEN and part.url is not None:
        return {"type": part.kind, "source": {"type": "url", "url": part.url}}
    return {"type": "text", "text": part.text or ("" if part.kind == "text" else part.label)}
