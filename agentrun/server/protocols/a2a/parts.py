"""Parts of messages: as they come from either line, and as agents read them."""

from __future__ import annotations

import base64
import json
from typing import Any

from agentrun._core.values import is_object
from agentrun.server.protocols.a2a.rpc import INVALID_PARAMS, RpcError

Json = dict[str, Any]
_KINDS = ("text", "raw", "url", "data")
_FILE_NAMES = {"bytes": "raw", "uri": "url", "mimeType": "mediaType", "name": "filename"}


def read_part(entry: Any, path: str) -> Json:
    """A part of either line in the words of 1.0; raises RpcError, which says what is wrong at `path`."""
    if not is_object(entry):
        raise RpcError(INVALID_PARAMS, f"{path} is a {type(entry).__name__}, not an object")
    if is_object(file := entry.get("file")):
        renamed = {new: file[old] for old, new in _FILE_NAMES.items() if file.get(old)}
        entry = {**entry, **renamed}
    part = {name: entry[name] for name in (*_KINDS, "mediaType", "filename", "metadata") if entry.get(name) is not None}
    kinds = [name for name in _KINDS if name in part]
    if len(kinds) != 1:
        raise RpcError(INVALID_PARAMS, f"{path}: a part has one of text, data and a file's bytes or URL, not {kinds}")
    if kinds[0] != "data" and not isinstance(part[kinds[0]], str):
        raise RpcError(INVALID_PARAMS, f"{path}.{kinds[0]} is a {type(part[kinds[0]]).__name__}, not a text")
    if "raw" in part:
        part["raw"] = _base64(part["raw"], path)
    return part


def _base64(text: str, path: str) -> str:
    standard = text.replace("-", "+").replace("_", "/")
    standard += "=" * (-len(standard) % 4)
    try:
        base64.b64decode(standard, validate=True)
    except ValueError as error:
        raise RpcError(INVALID_PARAMS, f"{path}: the bytes of the file are not base64: {error}") from error
    return standard


def chat_content(parts: list[Json]) -> str | list[Json]:
    """What a message says to an agent: text alone is a string; where there is more, every part is an object."""
    if all("text" in part for part in parts):
        return "\n".join(part["text"] for part in parts)
    return [_chat_part(part) for part in parts]


def _chat_part(part: Json) -> Json:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    if "data" in part:
        return {"type": "text", "text": json.dumps(part["data"], ensure_ascii=False)}
    kind, _, subtype = part.get("mediaType", "").partition("/")
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _place(part)}}
    if kind == "video":
        return {"type": "video_url", "video_url": {"url": _place(part)}}
    if kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": part.get("raw") or part["url"], "format": subtype}}
    name = {"filename": part["filename"]} if "filename" in part else {}
    return {"type": "file", "file": {"file_data" if "raw" in part else "file_url": _place(part), **name}}


def _place(part: Json) -> str:
    if "url" in part:
        return str(part["url"])
    return f"data:{part.get('mediaType', 'application/octet-stream')};base64,{part['raw']}"
