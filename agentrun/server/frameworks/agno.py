"""Messages of Agno."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agno.media import Audio, File, Image, Video
from agno.models.message import Message as AgnoMessage

from agentrun.server.frameworks.parts import Part, parts_of, tool_names
from agentrun.server.model import Message


def messages(request_messages: Sequence[Message]) -> list[AgnoMessage]:
    """The messages as Agno's own: `agent.arun(msgs, stream=True, stream_events=True)`."""
    names = tool_names(request_messages)
    return [_message(message, names) for message in request_messages]


def _message(message: Message, names: dict[str, str]) -> AgnoMessage:
    fields = message.model_dump(mode="json", exclude_none=True, exclude={"content"})
    parts = parts_of(message)
    if message.tool_call_id:
        fields["tool_name"] = names.get(message.tool_call_id)
    for part in parts:
        if part.kind != "text":
            field, make = _MEDIA[part.kind if part.location else "file"]
            fields.setdefault(field, []).append(make(part))
    words = "".join(part.text for part in parts)
    return AgnoMessage(content=None if message.content is None else words, **fields)


def _medium(kind: Any) -> Callable[[Part], Any]:
    def make(part: Part) -> Any:
        told = {"format": part.format, "mime_type": part.media_type}
        return kind(url=part.url, **told) if part.data is None else kind(content=part.content, **told)

    return make


def _file(part: Part) -> File:
    """Agno takes some types of files; of others it is not told which they are."""
    media_type = part.media_type if part.media_type in File.valid_mime_types() else None
    content = None if part.data is None else part.content
    told: dict[str, Any] = {"mime_type": media_type, "filename": part.filename, "format": part.format}
    return File(id=part.file_id, url=part.url, content=content, **told)


# The field of a message for each kind of media, and what makes one.
_MEDIA: dict[str, tuple[str, Callable[[Part], Any]]] = {
    "image": ("images", _medium(Image)),
    "audio": ("audio", _medium(Audio)),
    "video": ("videos", _medium(Video)),
    "file": ("files", _file),
}
