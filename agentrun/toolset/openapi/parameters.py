"""The parameters of an operation: where each goes, how it is written, and what it may be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentrun._core.values import as_list, is_list, is_mapping
from agentrun.errors import InvalidInputError
from agentrun.toolset.dialect import Schema
from agentrun.toolset.openapi import styles
from agentrun.toolset.openapi.document import Node, follow
from agentrun.toolset.openapi.media import is_json
from agentrun.toolset.openapi.schemas import Schemas

LOCATIONS = ("path", "query", "header", "cookie")
_DEFAULT_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
# OpenAPI says that these are no parameters: content types and security schemes decide about them.
_OF_THE_REQUEST = ("accept", "content-type", "authorization")


@dataclass(frozen=True)
class Parameter:
    """A parameter; `schema` is what its value must be, `content` the media type that it is written in, if one is."""

    name: str
    location: str
    required: bool
    style: str
    explode: bool
    reserved: bool
    content: str | None
    schema: Any

    def in_path(self, value: Any) -> str:
        """The text that takes the place of `{name}`; raises InvalidInputError when it would lead somewhere else."""
        text = styles.encoded(_written(value)) if self.content else self._in_path(value)
        if text in ("", ".", ".."):
            raise InvalidInputError(f"{self.name} must not be {text!r}: it is a part of a path", field=self.name)
        return text

    def _in_path(self, value: Any) -> str:
        return styles.in_path(self.name, value, self.style, self.explode)

    def in_query(self, value: Any) -> styles.Pairs:
        """The pairs of the query."""
        quoted = styles.lightly_encoded if self.reserved else styles.encoded
        if self.content:
            return [(styles.encoded(self.name), quoted(_written(value)))]
        return styles.in_query(self.name, value, self.style, self.explode, quoted)

    def in_header(self, value: Any) -> str:
        """The value of the header; raises InvalidInputError when it has characters that a header cannot have."""
        text = _written(value) if self.content else styles.joined(value, ",", self.explode, styles.unchanged)
        if not text.isascii() or not text.isprintable():
            hint = "Headers take printable ASCII characters"
            raise InvalidInputError(f"{self.name} has characters that a header cannot have", field=self.name, hint=hint)
        return text

    def in_cookie(self, value: Any) -> str:
        """The pairs of the cookie header."""
        if self.content:
            return f"{self.name}={styles.encoded(_written(value))}"
        return "; ".join(f"{key}={text}" for key, text in styles.in_query(self.name, value, self.style, self.explode))


def _written(value: Any) -> str:
    """A value as JSON; a text that is to be another media type is that already."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def read_parameters(item: Node, operation: Node, schemas: Schemas, uses: set[str], place: str) -> list[Parameter]:
    """The parameters of an operation, those of its path among them, in the order of their locations."""
    found: dict[tuple[str, str], Parameter] = {}
    for node in [*_listed(item, place), *_listed(operation, place)]:
        parameter = _parameter(node, schemas, uses, place)
        if parameter is not None:
            found[parameter.location, parameter.name] = parameter
    return sorted(found.values(), key=lambda each: LOCATIONS.index(each.location))


def _listed(holder: Node, place: str) -> Iterator[Node]:
    parts = holder.part("parameters").value
    if parts is not None and not is_list(parts):
        raise InvalidInputError(f"{place}.parameters must be a list", field=f"{place}.parameters")
    for number, part in enumerate(as_list(parts)):
        yield follow(Node(part, holder.resolver), f"{place}.parameters[{number}]")


def _parameter(node: Node, schemas: Schemas, uses: set[str], place: str) -> Parameter | None:
    raw = node.object()
    name, location = str(raw.get("name", "")), raw.get("in")
    if not name or location not in LOCATIONS:
        raise InvalidInputError(
            f"{place}: a parameter needs 'name', and 'in' as one of {', '.join(LOCATIONS)}", field=place
        )
    if location == "header" and name.lower() in _OF_THE_REQUEST:
        return None
    style = str(raw.get("style") or _DEFAULT_STYLES[location])
    content, schema = _schema(node)
    return Parameter(
        name,
        location,
        raw.get("required") is True or location == "path",
        style,
        bool(raw.get("explode", style == "form")),
        raw.get("allowReserved") is True,
        content,
        _noted(schemas.convert(schema, uses), raw),
    )


def _schema(node: Node) -> tuple[str | None, Node]:
    """The media type and the schema of a parameter; the media type is None when it is written by its style."""
    kinds = node.part("content")
    for kind in kinds.object():
        schema = kinds.part(kind).part("schema")
        return kind, schema if is_json(kind) else Node({"type": "string"}, node.resolver)
    return None, node.part("schema")


def _noted(schema: Any, raw: Mapping[str, Any]) -> Any:
    """The schema with what the parameter says about itself."""
    noted: Schema = dict(schema) if is_mapping(schema) else {}
    if schema is False:
        return False
    if isinstance(raw.get("description"), str):
        noted["description"] = raw["description"]
    if raw.get("deprecated") is True:
        noted["deprecated"] = True
    if "example" in raw and "examples" not in noted:
        noted["examples"] = [raw["example"]]
    return noted
