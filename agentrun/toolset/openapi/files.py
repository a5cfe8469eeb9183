"""Files in requests: as bytes, as a path of the caller's, or as Base64, which is what fits in JSON.

A text is never taken for a path: the text may come from a model, which must not be able to read files of this machine.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, cast

from agentrun._core.values import is_list, is_mapping, is_tuple
from agentrun.errors import InvalidInputError

BINARY = "application/octet-stream"
_NOTE = "The content of the file in Base64."


@dataclass(frozen=True)
class File:
    """What is sent of a file."""

    content: bytes
    name: str = "file"
    media_type: str | None = None


def is_file(value: object) -> bool:
    """Whether a value is a file whatever the schema says: bytes, a path object, or a name with one of these."""
    if is_tuple(value):
        return len(value) in (2, 3) and is_file(value[1])
    return isinstance(value, (bytes, bytearray, memoryview, PathLike))


def file_of(value: Any, field: str) -> File:
    """The file that a value stands for; raises InvalidInputError when it is none.

    `bytes`, a `Path`, a text in Base64 or a `data:` URL; or a tuple of a file name, one of these, and a media type.
    """
    if is_tuple(value):
        name, content, *media_type = value
        return File(file_of(content, field).content, str(name), media_type[0] if media_type else _guessed(str(name)))
    if isinstance(value, PathLike):
        return _read(Path(fspath(cast("PathLike[str]", value))), field)
    if is_file(value):
        return File(bytes(value))
    if isinstance(value, str):
        return _from_text(value, field)
    hint = "Give bytes, a pathlib.Path, or a text in Base64"
    raise InvalidInputError(f"{field} must be a file, not {type(value).__name__}", field=field, hint=hint)


def _read(path: Path, field: str) -> File:
    try:
        return File(path.read_bytes(), path.name, _guessed(path.name))
    except OSError as error:
        raise InvalidInputError(f"{field}: {path} cannot be read: {error.strerror}", field=field) from None


def _guessed(name: str) -> str | None:
    return mimetypes.guess_type(name)[0]


def _from_text(text: str, field: str) -> File:
    head, _, rest = text.partition(",") if text.startswith("data:") else ("", "", text)
    media_type = head.removeprefix("data:").partition(";")[0] or None
    try:
        return File(base64.b64decode("".join(rest.split()), validate=True), media_type=media_type)
    except (binascii.Error, ValueError):
        hint = "Give the content in Base64, or from Python bytes or a pathlib.Path"
        raise InvalidInputError(f"{field} is not Base64", field=field, hint=hint) from None


def is_file_schema(schema: Any) -> bool:
    """Whether a converted schema describes a file."""
    if not is_mapping(schema):
        return False
    words = schema
    kinds = words.get("type")
    is_text = kinds == "string" or (is_list(kinds) and "string" in kinds) or kinds is None
    raw = "contentMediaType" in words and "contentEncoding" not in words
    return is_text and (words.get("format") == "binary" or raw)


def file_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the text that stands for a file."""
    kept = {word: value for word, value in schema.items() if word in ("title", "deprecated", "contentMediaType")}
    said = schema.get("description")
    note = f"{said} ({_NOTE})" if isinstance(said, str) and said else _NOTE
    return {**kept, "type": "string", "contentEncoding": "base64", "description": note}
