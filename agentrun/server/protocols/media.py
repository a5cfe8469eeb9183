"""What agents make besides words, in one shape for the protocols that have files: their bytes, or where they are."""

from __future__ import annotations

import mimetypes
from typing import Any

from agentrun.integration._outcome import as_json
from agentrun.server.protocols.agent_api.media import content_of
from agentrun.server.protocols.agent_api.model import AudioContent, FileContent, ImageContent, VideoContent

Json = dict[str, Any]


def media_part(name: str, value: Any) -> Json | None:
    """What an agent made, if it is something to see, to hear, to keep or to compute with; None for other things."""
    if name == "data":
        return {"data": as_json(value)}
    try:
        content = content_of(name, value)
    except ValueError:
        return None
    if isinstance(content, ImageContent):
        return _file(content.image_url)
    if isinstance(content, VideoContent):
        return _file(content.video_url)
    if isinstance(content, AudioContent):
        return _file(content.data, f"audio/{content.format}" if content.format else None)
    if isinstance(content, FileContent) and (content.file_url or content.file_data):
        return _file(content.file_url or content.file_data, filename=content.filename)
    return None


def _file(place: str | None, media_type: str | None = None, filename: str | None = None) -> Json | None:
    """A file of which is known where it is, or its bytes: a URL, one that holds them, or base64."""
    if not place:
        return None
    name = {"filename": filename} if filename else {}
    if place.startswith("data:"):
        head, _, raw = place.partition(",")
        return {"raw": raw, "mediaType": head.removeprefix("data:").partition(";")[0], **name}
    kind = media_type or mimetypes.guess_type(filename or place)[0]
    more = {**({"mediaType": kind} if kind else {}), **name}
    return {"url" if "://" in place else "raw": place, **more}
