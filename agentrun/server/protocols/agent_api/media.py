"""Images, sound, videos and files in the words of frameworks, as contents of the Agent API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from agentrun._serving.values import is_object
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
    return _KINDS[name](place) if place else None


def _place(block: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Where the bytes of a block are: `url`, or `data` and `media_type`; empty where it does not say so.

    AgentScope and Anthropic keep it in `source`, OpenAI below the name of the block, LangChain in the block.
    """
    holder = block.get("source") or block.get(name) or block
    if isinstance(holder, str):
        return {"url": holder}
    if not is_object(holder):
        return {}
    url = holder.get("url") or holder.get("file_url")
    data = holder.get("data") or holder.get("base64") or holder.get("file_data")
    media_type = holder.get("media_type") or holder.get("mime_type") or holder.get("format")
    more = {key: holder[key] for key in ("file_id", "filename") if holder.get(key)}
    found = {"url": url, "data": None if url else data, "media_type": media_type, **more}
    return found if url or data or more else {}


def _url(place: Mapping[str, Any], media_type: str) -> str | None:
    if place["url"] or not place["data"]:
        return place["url"]
    return f"data:{place['media_type'] or media_type};base64,{place['data']}"


def _image(place: Mapping[str, Any]) -> AnyContent:
    return ImageContent(image_url=_url(place, "image/png"))


def _video(place: Mapping[str, Any]) -> AnyContent:
    return VideoContent(video_url=_url(place, "video/mp4"))


def _audio(place: Mapping[str, Any]) -> AnyContent:
    kind = str(place["media_type"] or "").rpartition("/")[2] or None
    return AudioContent(data=place["url"] or place["data"], format=kind)


def _file(place: Mapping[str, Any]) -> AnyContent:
    named = {key: place.get(key) for key in ("file_id", "filename")}
    return FileContent(file_url=place["url"], file_data=place["data"], **named)


_KINDS: dict[str, Callable[[Mapping[str, Any]], AnyContent]] = {
    "image": _image,
    "image_url": _image,
    "audio": _audio,
    "input_audio": _audio,
    "video": _video,
    "video_url": _video,
    "file": _file,
}
