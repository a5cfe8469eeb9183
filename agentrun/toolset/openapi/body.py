"""The body of a request: which arguments it is made of, and how they become bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlencode

from agentrun._core.values import as_list, as_mapping, is_list, is_mapping
from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi import media, styles
from agentrun.toolset.openapi.document import Node, follow
from agentrun.toolset.openapi.files import BINARY, file_of, file_schema, is_file, is_file_schema
from agentrun.toolset.openapi.multipart import Multipart
from agentrun.toolset.openapi.schemas import Schemas, read_only_names

# What an object may say and still be the sum of its properties.
_OF_A_PLAIN_OBJECT = {
    "type", "properties", "required", "additionalProperties", "allOf", "title", "description", "default", "example",
    "examples", "deprecated", "nullable", "xml", "externalDocs", "discriminator", "readOnly", "writeOnly", "$schema",
    "$comment", "$id", "$anchor", "$defs", "definitions", "format",
}  # fmt: skip


@dataclass
class Properties:
    """The properties of a plain object, from all its parts; `others` is what properties that are not named may be."""

    schemas: dict[str, Any] = field(default_factory=dict[str, Any])
    required: list[str] = field(default_factory=list[str])
    others: Any = False


@dataclass(frozen=True)
class Body:
    """A request's body: either the properties of an object, or one value that `schema` describes."""

    media_type: str
    required: bool
    schema: Any
    properties: Properties | None
    encodings: Mapping[str, Any]
    is_file: bool

    def content(self, value: Any) -> tuple[bytes, str]:
        """The bytes of a value and their media type; raises InvalidInputError when it cannot be written so."""
        kind = media.essence(self.media_type)
        if kind == media.FORM:
            return self._form(as_mapping(value)), kind
        if kind == media.MULTIPART:
            return self._multipart(as_mapping(value))
        if self.is_file or is_file(value):
            return self._file(value)
        if media.is_json(kind):
            return as_json(value), media.JSON if "*" in kind else self.media_type
        return styles.plain(value).encode(), self.media_type

    def _file(self, value: Any) -> tuple[bytes, str]:
        file = file_of(value, "body")
        kind = (file.media_type or BINARY) if "*" in self.media_type else self.media_type
        return file.content, kind

    def _form(self, value: Mapping[str, Any]) -> bytes:
        pairs = [pair for name, part in value.items() for pair in self._form_pairs(name, part)]
        return urlencode(pairs).encode()

    def _form_pairs(self, name: str, value: Any) -> Iterator[tuple[str, str]]:
        encoding = self._encoding(name)
        style = encoding.get("style")
        if style == "deepObject":
            yield from styles.deep_pairs(name, value)
        elif style or "explode" in encoding:
            explode = bool(encoding.get("explode", style in (None, "form")))
            yield from _styled(name, value, style or "form", explode)
        elif is_list(value):
            yield from ((name, styles.plain(item)) for item in value)
        else:
            yield name, styles.plain(value)

    def _encoding(self, name: str) -> Mapping[str, Any]:
        return as_mapping(self.encodings.get(name, {}))

    def _multipart(self, value: Mapping[str, Any]) -> tuple[bytes, str]:
        form = Multipart()
        for name, part in value.items():
            is_file_part = self.properties is not None and is_file_part_schema(self.properties.schemas.get(name))
            for item in part if is_list(part) else [part]:
                self._add(form, name, item, is_file_part)
        return form.content(), form.content_type

    def _add(self, form: Multipart, name: str, value: Any, is_file_part: bool) -> None:
        kind = _single(self._encoding(name).get("contentType"))
        if is_file_part or is_file(value):
            form.add_file(name, file_of(value, name), kind)
        elif isinstance(value, dict):
            form.add_text(name, styles.plain(value), kind or media.JSON)
        else:
            form.add_text(name, styles.plain(value), kind)


def _styled(name: str, value: Any, style: str, explode: bool) -> Iterator[tuple[str, str]]:
    delimiter = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(style, ",")
    if is_list(value) and explode:
        yield from ((name, styles.plain(item)) for item in value)
    elif isinstance(value, dict) and explode and style == "form":
        yield from ((str(key), styles.plain(item)) for key, item in cast("dict[str, Any]", value).items())
    else:
        yield name, styles.joined(value, delimiter, False, styles.unchanged)


def _single(media_type: Any) -> str | None:
    """The media type that an encoding asks for, None when it leaves the choice."""
    return media_type if isinstance(media_type, str) and not set(media_type) & set("*,") else None


def as_json(value: Any) -> bytes:
    """A value as JSON; raises InvalidInputError when it has none."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"the body cannot be written as JSON: {error}", field="body") from None


def is_file_part_schema(schema: Any) -> bool:
    """Whether a converted schema is that of a file, or of a list of files; what was made of one by us counts too."""
    if not is_mapping(schema):
        return False
    words = schema
    return _is_file(words) or (words.get("type") == "array" and _is_file(words.get("items")))


def _is_file(schema: Any) -> bool:
    return isinstance(schema, _FileSchema)


class _FileSchema(dict[str, Any]):
    """The schema of a text that is sent as the bytes it stands for."""


def _as_file(schema: Any) -> Any:
    """The schema with files in it turned into text; only a file itself, or a list of files."""
    if is_file_schema(schema):
        return _FileSchema(file_schema(schema))
    words = as_mapping(schema)
    if words.get("type") == "array" and is_file_schema(words.get("items")):
        return {**words, "items": _FileSchema(file_schema(words["items"]))}
    return schema


# Reading


def read_body(operation: Node, schemas: Schemas, uses: set[str], place: str) -> Body | None:
    """The body of an operation, None when it has none."""
    node = follow(operation.part("requestBody"), f"{place}.requestBody")
    kinds = node.part("content")
    chosen = media.preferred(kinds.object())
    if chosen is None:
        return None
    found = kinds.part(chosen)
    schema = found.part("schema")
    properties = _flattened(schema, schemas, uses, media.essence(chosen) == media.MULTIPART)
    whole, is_binary = (True, False) if properties else _whole(schema, chosen, schemas, uses)
    if is_mapping(whole) and isinstance(node.object().get("description"), str):
        whole = {"description": node.object()["description"], **whole}
    required = node.object().get("required") is True
    return Body(chosen, required, whole, properties, found.part("encoding").object(), is_binary)


def _whole(schema: Node, media_type: str, schemas: Schemas, uses: set[str]) -> tuple[Any, bool]:
    """The schema of a body that is one value, and whether it is a file."""
    if media.is_binary(media_type):
        return file_schema(as_mapping(schemas.convert(schema, set()))), True
    if media.is_text(media_type):
        converted = as_mapping(schemas.convert(schema, set()))
        return {
            "type": "string",
            **{word: converted[word] for word in ("description", "examples") if word in converted},
        }, False
    converted = schemas.convert(schema, uses)
    return (file_schema(as_mapping(converted)), True) if is_file_schema(converted) else (converted, False)


def _flattened(schema: Node, schemas: Schemas, uses: set[str], files: bool) -> Properties | None:
    """The properties of a body that is a plain object, None when it is anything else."""
    found = Properties()
    used: set[str] = set()
    if not _collect(schema, schemas, used, found, files, 0) or not found.schemas:
        return None
    found.required = [name for name in dict.fromkeys(found.required) if name in found.schemas]
    uses |= used
    return found


def _collect(node: Node, schemas: Schemas, uses: set[str], found: Properties, files: bool, depth: int) -> bool:
    """Add what a part of an object says; returns whether it can be said by properties alone."""
    node = follow(node, "the body").within()
    raw = node.object()
    if not {word for word in raw if not word.startswith("x-")} <= _OF_A_PLAIN_OBJECT or depth > 8:
        return False
    if raw.get("type", "object") not in ("object", ["object"], ["object", "null"]):
        return False
    hidden = read_only_names(node)
    for name, part in node.part("properties").object().items():
        if name not in hidden:
            _add(found, str(name), schemas.convert(Node(part, node.resolver), uses), files)
    found.required += [n for n in as_list(raw.get("required")) if isinstance(n, str) and n not in hidden]
    if "additionalProperties" in raw and raw["additionalProperties"] is not False:
        found.others = schemas.convert(node.part("additionalProperties"), uses)
    parts = as_list(raw.get("allOf"))
    return all(_collect(Node(part, node.resolver), schemas, uses, found, files, depth + 1) for part in parts)


def _add(found: Properties, name: str, schema: Any, files: bool) -> None:
    added = _as_file(schema) if files else schema
    known = found.schemas.get(name)
    found.schemas[name] = added if known is None or known == added else {"allOf": [known, added]}
