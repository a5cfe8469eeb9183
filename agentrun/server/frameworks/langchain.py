"""Messages of LangChain, which are LangGraph's too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from agentrun.server.frameworks.parts import (
    Part,
    arguments_of,
    name_of,
    parts_of,
    plain_text,
    raw_arguments,
    tool_names,
)
from agentrun.server.model import Message, MessageRole, ToolCall


def messages(request_messages: Sequence[Message]) -> list[BaseMessage]:
    """The messages as LangChain's own; a thought is `additional_kwargs["reasoning_content"]`."""
    names = tool_names(request_messages)
    return [_message(message, names) for message in request_messages]


def _message(message: Message, names: dict[str, str]) -> BaseMessage:
    said: dict[str, Any] = {"content": _content(message), "id": message.id, "name": message.name}
    if message.role is MessageRole.TOOL:
        call_id = message.tool_call_id or ""
        return ToolMessage(**{**said, "name": names.get(call_id)}, tool_call_id=call_id)
    if message.role is MessageRole.ASSISTANT:
        return AIMessage(**said, **_called(message.tool_calls or ()), additional_kwargs=_thought(message))
    return SystemMessage(**said) if message.role is MessageRole.SYSTEM else HumanMessage(**said)


def _thought(message: Message) -> dict[str, Any]:
    return {"reasoning_content": message.reasoning_content} if message.reasoning_content else {}


def _called(calls: Sequence[ToolCall]) -> dict[str, Any]:
    """Calls whose arguments are no JSON are kept as what they are."""
    good = [
        {"id": call.id, "name": name_of(call), "args": arguments}
        for call in calls
        if (arguments := arguments_of(call)) is not None
    ]
    bad = [
        {"id": call.id, "name": name_of(call), "args": raw_arguments(call), "error": "no JSON object"}
        for call in calls
        if arguments_of(call) is None
    ]
    return {"tool_calls": good, "invalid_tool_calls": bad}


def _content(message: Message) -> str | list[str | dict[str, Any]]:
    parts = parts_of(message)
    text = plain_text(parts)
    return [_block(part) for part in parts] if text is None else text


def _block(part: Part) -> dict[str, Any]:
    """A content block of LangChain, which every model of it understands."""
    if part.kind == "text":
        return {"type": "text", "text": part.text}
    block = {"type": part.kind, "mime_type": part.media_type}
    named = {"extras": {"filename": part.filename}} if part.filename else {}
    if part.data is not None:
        return {**block, "base64": part.data, **named}
    return {**block, **({"url": part.url} if part.url else {"file_id": part.file_id}), **named}
