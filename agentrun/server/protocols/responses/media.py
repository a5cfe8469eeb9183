"""Images, sound, videos and files that an agent shows, in the words of responses.

The protocol knows generated images; what has a URL is a link with a citation; sound and files are parts of their own.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from agentrun.server.protocols.agent_api.media import content_of
from agentrun.server.protocols.agent_api.model import (
    AnyContent,
    AudioContent,
    FileContent,
    ImageContent,
    VideoContent,
)
from agentrun.server.protocols.responses.item_writer import IN_PROGRESS, new_id

_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?:;[^,]*)?,(?P<data>.*)", re.DOTALL)


class Shown(NamedTuple):
    """How something appears: as an item of its own or as a part of a message."""

    item: dict[str, Any] | None = None
    part: dict[str, Any] | None = None


def shown(name: str, value: Any) -> Shown | None:
    """How a block of a framework appears; None for what is nothing to see or to hear."""
    content = content_of(name, value)
    return None if content is None else _shown(content)


def _shown(content: AnyContent) -> Shown | None:
    if isinstance(content, ImageContent):
        return _image(content.image_url or "")
    if isinstance(content, VideoContent):
        return Shown(part=_link_or_file(content.video_url or "", "video"))
    if isinstance(content, AudioContent):
        return Shown(part=_audio(content.data or "", content.format))
    if isinstance(content, FileContent):
        return Shown(part=_file(content))
    return None


def _image(url: str) -> Shown:
    inline = _DATA_URL.fullmatch(url)
    if inline is None:
        return Shown(part=_link(url, "image", mark="!"))
    kind = {"output_format": inline["type"].rpartition("/")[2] or "png"}
    picture = {"type": "image_generation_call", "status": IN_PROGRESS, "result": inline["data"], **kind}
    return Shown(item={"id": new_id("ig"), **picture})


def _audio(data: str, format_: str | None) -> dict[str, Any]:
    inline = _DATA_URL.fullmatch(data)
    if inline is None and "://" in data:
        return _link(data, "audio")
    kind = format_ or (inline["type"].rpartition("/")[2] if inline else None)
    sound = inline["data"] if inline else data
    return {"type": "output_audio", "data": sound, "transcript": "", **({"format": kind} if kind else {})}


def _file(content: FileContent) -> dict[str, Any]:
    name = content.filename or "file"
    if content.file_url:
        return _link_or_file(content.file_url, name)
    if content.file_id:
        where = {"type": "file_citation", "file_id": content.file_id, "filename": name, "index": 0}
        return {"type": "output_text", "text": name, "annotations": [where], "logprobs": []}
    return {"type": "output_file", "filename": name, "file_data": content.file_data}


def _link_or_file(url: str, name: str) -> dict[str, Any]:
    if _DATA_URL.fullmatch(url):
        return {"type": "output_file", "filename": name, "file_data": url}
    return _link(url, name)


def _link(url: str, title: str, mark: str = "") -> dict[str, Any]:
    text = f"{mark}[{title}]({url})"
    place = {"start_index": 0, "end_index": len(text), "url": url, "title": title}
    return {"type": "output_text", "text": text, "annotations": [{"type": "url_citation", **place}], "logprobs": []}
