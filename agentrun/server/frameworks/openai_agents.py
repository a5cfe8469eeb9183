"""Input items of the OpenAI Agents SDK, which are those of OpenAI's responses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agentrun.server.frameworks.parts import Part, labelled_text, name_of, parts_of, plain_text, raw_arguments
from agentrun.server.model import Message, MessageRole


def messages(request_messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as input items; a thought and each call are items of their own."""
    return [item for place, message in enumerate(request_messages) for item in _items(message, place)]


def _items(message: Message, place: int) -> Iterator[dict[str, Any]]:
    if message.role is MessageRole.TOOL:
        output = {"call_id": message.tool_call_id or "", "output": _content(message)}
        yield {"type": "function_call_output", **output}
        return
    if message.reasoning_content:
        summary = [{"type": "summary_text", "text": message.reasoning_content}]
        yield {"type": "reasoning", "id": f"rs_{message.id or place}", "summary": summary}
    if message.role is MessageRole.ASSISTANT:
        if message.content:  # What an assistant said before is text in this protocol.
            yield {"role": "assistant", "content": labelled_text(message)}
    else:
        yield {"role": message.role.value, "content": _content(message)}
    for call in message.tool_calls or ():
        called = {"call_id": call.id, "name": name_of(call), "arguments": raw_arguments(call)}
        yield {"type": "function_call", **called}


def _content(message: Message) -> str | list[dict[str, Any]]:
    parts = parts_of(message)
    text = plain_text(parts)
    return [_part(part) for part in parts] if text is None else text


def _part(part: Part) -> dict[str, Any]:
    if part.kind == "text":
        return {"type": "input_text", "text": part.text}
    if part.kind == "image":
        place = {"file_id": part.file_id} if part.location is None else {"image_url": part.location}
        return {"type": "input_image", "detail": "auto", **place}
    if part.kind == "audio" and part.data is not None:
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    if part.kind == "video":
        return {"type": "video_url", "video_url": {"url": part.location}}
    return _file(part)


def _file(part: Part) -> dict[str, Any]:
    file = {"type": "input_file", **({"filename": part.filename} if part.filename else {})}
    if part.url is not None:
        return {**file, "file_url": part.url}
    return {**file, **({"file_id": part.file_id} if part.data is None else {"file_data": part.location})}
