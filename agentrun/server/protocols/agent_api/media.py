"""Images, sound, videos and files in the words of frameworks, as contents of the Agent API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from agentrun._core.values import is_object
from agentrun.server.protocols.agent_api.model import (
    AnyContent,
    AudioContent,
    FileContent,
    ImageContent,
    VideoContent,
)

_CONTENTS: TypeAdapter[AnyContent] = TypeAdapter(AnyContent)
# A part in the words of the Agent API itself, as against a block of a framework.
CONTENT = "content"


def content_of(name: str, value: Any) -> AnyContent | None:
    """What a block of this name is on the wire; None for what is nothing to see or to hear.

    A part in the wire's own words has the name `content`; raises ValueError when it is none.
    """
    if name == CONTENT:
        return _CONTENTS.validate_python(value)
    if name not in _KINDS or not is_object(value):
        return None
    place = _place(value, name)
    return _KINDS[name](place) if place.url or place.data or place.file_id else None


class _Place(NamedTuple):
    """Where the bytes of a block are."""

    url: str | None = None
    data: str | None = None  # Base64.
    media_type: str | None = None
    file_id: str | None = None
    filename: str | None = None

    def as_url(self, media_type: str) -> str:
        """The URL, which may be one that holds the bytes; `media_type` where nothing is said about them."""
        return self.url or f"data:{self.media_type or media_type};base64,{self.data}"


def _place(block: dict[str, Any], name: str) -> _Place:
    """AgentScope and Anthropic keep it in `source`, OpenAI below the name of the block, LangChain in the block."""
    holder = block.get("source") or block.get(name) or block
    if isinstance(holder, str):
        return _Place(url=holder)
    if not is_object(holder):
        return _Place()
    return _Place(
        url=_first(holder, "url", "file_url"),
        data=_first(holder, "data", "base64", "file_data"),
        media_type=_first(holder, "media_type", "mime_type", "format"),
        file_id=_first(holder, "file_id"),
        filename=_first(holder, "filename"),
    )


def _first(holder: dict[str, Any], *names: str) -> str | None:
    return next((value for name in names if isinstance(value := holder.get(name), str) and value), None)


def _image(place: _Place) -> AnyContent | None:
    return ImageContent(image_url=place.as_url("image/png")) if place.url or place.data else None


def _video(place: _Place) -> AnyContent | None:
    return VideoContent(video_url=place.as_url("video/mp4")) if place.url or place.data else None


def _audio(place: _Place) -> AnyContent | None:
    kind = (place.media_type or "").rpartition("/")[2] or None
    return AudioContent(data=place.url or place.data, format=kind) if place.url or place.data else None


def _file(place: _Place) -> AnyContent | None:
    return FileContent(file_url=place.url, file_data=place.data, file_id=place.file_id, filename=place.filename)


_KINDS: dict[str, Callable[[_Place], AnyContent | None]] = {
    "image": _image,
    "image_url": _image,
    "audio": _audio,
    "input_audio": _audio,
    "video": _video,
    "video_url": _video,
    "file": _file,
}
