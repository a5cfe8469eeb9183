"""A history of PydanticAI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    DocumentUrl,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UploadedFile,
    UserPromptPart,
    VideoUrl,
)

from agentrun.server.frameworks.parts import (
    Part,
    labelled_text,
    name_of,
    parts_of,
    plain_text,
    raw_arguments,
    tool_names,
)
from agentrun.server.model import Message, MessageRole

_URLS: dict[str, Any] = {"image": ImageUrl, "audio": AudioUrl, "video": VideoUrl, "file": DocumentUrl}


def messages(request_messages: Sequence[Message]) -> list[ModelMessage]:
    """The messages as a history, requests and responses in turns: `agent.run(message_history=msgs)`."""
    names = tool_names(request_messages)
    turns = groupby(request_messages, key=lambda message: message.role is MessageRole.ASSISTANT)
    return [_turn(is_answer, list(turn), names) for is_answer, turn in turns]


def _turn(is_answer: bool, turn: Sequence[Message], names: dict[str, str]) -> ModelMessage:
    if is_answer:
        return ModelResponse(parts=[part for message in turn for part in _answered(message)])
    return ModelRequest(parts=[_asked(message, names) for message in turn])


def _asked(message: Message, names: dict[str, str]) -> SystemPromptPart | ToolReturnPart | UserPromptPart:
    if message.role is MessageRole.SYSTEM:
        return SystemPromptPart(labelled_text(message))
    content = _content(message)
    if message.role is MessageRole.USER:
        return UserPromptPart(content)
    call_id = message.tool_call_id or ""
    return ToolReturnPart(tool_name=names.get(call_id, ""), content=content, tool_call_id=call_id)


def _answered(message: Message) -> Iterator[ThinkingPart | TextPart | ToolCallPart]:
    if message.reasoning_content:
        yield ThinkingPart(message.reasoning_content)
    if text := labelled_text(message):
        yield TextPart(text)
    for call in message.tool_calls or ():
        yield ToolCallPart(name_of(call), raw_arguments(call), call.id)


def _content(message: Message) -> str | list[Any]:
    parts = parts_of(message)
    text = plain_text(parts)
    return [_piece(part) for part in parts] if text is None else text


def _piece(part: Part) -> Any:
    if part.kind == "text":
        return part.text
    if part.data is not None:
        return BinaryContent(part.content, media_type=part.media_type, identifier=part.filename)
    if part.url is None and part.file_id is not None:
        return UploadedFile(part.file_id, "openai", media_type=part.media_type)
    return _URLS[part.kind](part.url or "", media_type=part.media_type)
