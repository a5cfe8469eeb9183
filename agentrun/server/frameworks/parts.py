"""What the content of a message is made of, whichever protocol it came by."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from agentrun._core.values import is_object
from agentrun.integration._outcome import as_text
from agentrun.server.model import Message, ToolCall

# The names that protocols give to the same things.
_KINDS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "text",
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
    "video_url": "video",
    "file": "file",
    "input_file": "file",
    "document": "file",
    "binary": "file",
}
_MEDIA_TYPES = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4", "file": "application/octet-stream"}
_URLS = ("url", "image_url", "video_url", "audio_url", "file_url")
_DATA = ("data", "base64", "file_data")
_FORMATS = {"mp3": "mpeg"}


@dataclass(frozen=True)
class Part:
    """Text, or something to see, to hear or to open: at its `url`, as base64 in `data`, or uploaded as `file_id`."""

    kind: str
    text: str = ""
    url: str | None = None
    data: str | None = None
    file_id: str | None = None
    filename: str | None = None
    media_type: str = ""

    @property
    def location(self) -> str | None:
        """The URL, or one that holds the bytes; None for what was uploaded."""
        if self.url is None and self.data is not None:
            return f"data:{self.media_type};base64,{self.data}"
        return self.url

    @property
    def content(self) -> bytes:
        """The bytes; raises ValueError for what is no base64."""
        return base64.b64decode(self.data or "")

    @property
    def format(self) -> str:
        """What sound is called in OpenAI's words: "wav", "mp3"."""
        subtype = self.media_type.rpartition("/")[2].removeprefix("x-")
        return {"mpeg": "mp3"}.get(subtype, subtype)

    @property
    def label(self) -> str:
        """What is said of it to an agent that cannot be shown it."""
        where = self.url or self.file_id
        named = " ".join(word for word in (self.kind, self.filename, self.media_type) if word)
        return f"[{named}: {where}]" if where else f"[{named}]"


def parts_of(message: Message) -> list[Part]:
    """The parts of a message; text that is empty is none."""
    if not isinstance(message.content, str):
        return [_part(entry) for entry in message.content or ()]
    return [Part("text", message.content)] if message.content else []


def plain_text(parts: Sequence[Part]) -> str | None:
    """The text of parts that are nothing else, None where there is more to see."""
    return None if any(part.kind != "text" for part in parts) else "".join(part.text for part in parts)


def labelled_text(message: Message) -> str:
    """A message in words alone: what is no text is named."""
    return "\n".join(part.text or part.label for part in parts_of(message))


def arguments_of(call: ToolCall) -> dict[str, Any] | None:
    """The arguments of a call, None for what is no JSON object."""
    try:
        found = json.loads(raw_arguments(call))
    except ValueError:
        return None
    return found if is_object(found) else None


def raw_arguments(call: ToolCall) -> str:
    """The arguments of a call as JSON text."""
    return as_text(call.function.get("arguments") or "{}")


def name_of(call: ToolCall) -> str:
    """The name of the tool that is called."""
    return str(call.function.get("name") or "")


def tool_names(messages: Sequence[Message]) -> dict[str, str]:
    """The tool of each call, by the id of the call; results often say no name."""
    names = {call.id: name_of(call) for message in messages for call in message.tool_calls or ()}
    told = {message.tool_call_id: message.name for message in messages if message.tool_call_id and message.name}
    return {**names, **told}


def _part(entry: Mapping[str, Any]) -> Part:
    kind = _KINDS.get(str(entry.get("type")))
    if kind is None:
        return Part("text", as_text(dict(entry)))  # A model can make something even of what nobody knows.
    if kind == "text":
        return Part("text", str(entry.get("text") or entry.get("refusal") or ""))
    return _media(kind, _holder(entry), entry)


def _holder(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where it says what it holds: below `source`, below the name of its type, or in the part itself."""
    held = entry.get("source") or entry.get(str(entry["type"])) or entry
    return {"url": held} if isinstance(held, str) else held


def _media(kind: str, holder: Mapping[str, Any], entry: Mapping[str, Any]) -> Part:
    url, data = _first(holder, *_URLS), _first(holder, *_DATA)
    if (value := _first(holder, "value")) is not None:
        url, data = (None, value) if holder.get("type") == "data" else (value, None)
    media_type, url, data = _opened(url, data)
    filename = _first(holder, "filename") or _first(entry, "filename", "name")
    media_type = media_type or _said(kind, holder) or _guessed(kind, filename, url)
    if kind == "file" and entry["type"] == "binary":
        kind = media_type.partition("/")[0] if media_type.partition("/")[0] in _MEDIA_TYPES else kind
    return Part(kind, url=url, data=data, file_id=_first(holder, "file_id"), filename=filename, media_type=media_type)


def _opened(url: str | None, data: str | None) -> tuple[str, str | None, str | None]:
    """Media type, URL and bytes; a URL that holds the bytes is no place to go to."""
    for value in (data, url):
        if value is not None and value.startswith("data:"):
            head, _, body = value.partition(",")
            return head.removeprefix("data:").partition(";")[0], None, body
        if value is data and value is not None and value.startswith(("http://", "https://")):
            return "", value, None
    return "", url, data


def _said(kind: str, holder: Mapping[str, Any]) -> str:
    found = _first(holder, "media_type", "mime_type", "mimeType", "format") or ""
    return found if "/" in found or not found else f"{kind}/{_FORMATS.get(found, found)}"


def _guessed(kind: str, filename: str | None, url: str | None) -> str:
    for name in (filename, urlsplit(url or "").path):
        found = mimetypes.guess_type(name or "")[0]
        if found is not None and (kind == "file" or found.startswith(kind)):
            return found
    return _MEDIA_TYPES[kind]


def _first(holder: Mapping[str, Any], *names: str) -> str | None:
    return next((value for name in names if isinstance(value := holder.get(name), str) and value), None)
