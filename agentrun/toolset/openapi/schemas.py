"""The schemas of a document in JSON Schema 2020-12, each definition once, however many operations use it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, cast

from agentrun._core.values import is_list, is_mapping
from agentrun.errors import InvalidInputError
from agentrun.toolset.dialect import Schema, translated
from agentrun.toolset.openapi.document import Document, Node, follow, lookup

_MAPS = ("properties", "patternProperties", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_ONES = (
    "additionalProperties",
    "items",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contentSchema",
)
_NESTED = (*_MAPS, *_LISTS, *_ONES)
# Names of schemas and where they stand; references lead to definitions here, so nothing needs them any more.
_PLACES = ("$id", "$anchor", "$schema", "$dynamicAnchor", "$vocabulary", "$defs", "definitions")
# What a schema of 3.0 may say beside a reference; its other words are to be ignored there.
_BESIDE = ("title", "description", "default", "nullable", "deprecated", "readOnly", "writeOnly", "example")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9._-]+")


class Schemas:
    """Converts the schemas of one document, as a request has them: without what is read-only."""

    def __init__(self, document: Document) -> None:
        self._is_3_0 = document.is_3_0
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []  # What the ids above belong to.
        self._definitions: dict[str, Any] = {}
        self._uses: dict[str, set[str]] = {}
        self._broken: dict[str, InvalidInputError] = {}
        self._waiting: deque[tuple[str, Node]] = deque()

    def convert(self, node: Node, uses: set[str]) -> Any:
        """A schema in 2020-12; the names of the definitions that it refers to are added to `uses`."""
        if not is_mapping(node.value):
            return node.value if isinstance(node.value, bool) else True
        node = node.within()
        raw = node.object()
        reference = raw.get("$ref", raw.get("$dynamicRef"))
        if isinstance(reference, str):
            return self._referring(node, reference, uses)
        return self._converted(node, raw, uses)

    def definitions(self, uses: Iterable[str]) -> Schema:
        """The definitions of these names, and of all that they refer to; InvalidInputError where one is broken."""
        self._settle()
        found: Schema = {}
        waiting = list(uses)
        while waiting:
            name = waiting.pop()
            if name in self._broken:
                error = self._broken[name]
                raise InvalidInputError(error.message, field=error.field, hint=error.hint)
            if name not in found:
                found[name] = self._definitions[name]
                waiting.extend(self._uses[name])
        return dict(sorted(found.items()))

    def _settle(self) -> None:
        # One after the other instead of one within the other: a chain of references may be longer than a stack.
        while self._waiting:
            name, node = self._waiting.popleft()
            try:
                self._definitions[name] = self.convert(node, self._uses[name])
            except InvalidInputError as error:
                self._broken[name] = error
            except RecursionError:
                self._broken[name] = InvalidInputError(f"the schema {name} is nested too deeply", hint="Use $ref")

    def _referring(self, node: Node, reference: str, uses: set[str]) -> Any:
        raw = node.object()
        target = lookup(node, reference, "a schema")
        beside = {
            word: value
            for word, value in raw.items()
            if word not in ("$ref", "$dynamicRef") and (not self._is_3_0 or word in _BESIDE)
        }
        if _is_leaf(target.value):
            return self._converted(node, {**target.object(), **beside}, uses)
        name = self._name(target, reference)
        uses.add(name)
        return self._converted(node, {"$ref": f"#/$defs/{name}", **beside}, uses)

    def _name(self, target: Node, reference: str) -> str:
        known = self._names.get(id(target.value))
        if known is None:
            known = self._new_name(reference)
            self._names[id(target.value)] = known
            self._kept.append(target.value)
            self._uses[known] = set()
            self._waiting.append((known, target))
        return known

    def _new_name(self, reference: str) -> str:
        plain = _NOT_IN_NAMES.sub("_", reference.rpartition("/")[2].rpartition("#")[2]) or "Schema"
        name, number = plain, 2
        while name in self._uses:
            name, number = f"{plain}_{number}", number + 1
        return name

    def _converted(self, node: Node, raw: Mapping[str, Any], uses: set[str]) -> Any:
        shown = self._without_read_only(node, raw) if "properties" in raw or "allOf" in raw else raw
        nested = {word: self._nested(word, value, node, uses) for word, value in shown.items() if word in _NESTED}
        rest = {word: value for word, value in shown.items() if word not in _PLACES}
        return translated({**rest, **nested})

    def _nested(self, word: str, value: Any, node: Node, uses: set[str]) -> Any:
        if word in _MAPS and is_mapping(value):
            parts = value.items()
            return {str(name): self.convert(Node(part, node.resolver), uses) for name, part in parts}
        if word in _LISTS and is_list(value):
            return [self.convert(Node(part, node.resolver), uses) for part in value]
        if word in _ONES and isinstance(value, (Mapping, bool)):
            return self.convert(Node(value, node.resolver), uses)
        return value

    # What is read-only

    def _without_read_only(self, node: Node, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        hidden = read_only_names(Node(raw, node.resolver))
        if not hidden:
            return raw
        shown = dict(raw)
        if is_mapping(raw.get("properties")):
            shown["properties"] = {name: part for name, part in raw["properties"].items() if name not in hidden}
        if is_list(raw.get("required")):
            shown["required"] = _others(raw["required"], hidden)
        if is_list(raw.get("allOf")):
            shown["allOf"] = [_not_requiring(part, hidden) for part in raw["allOf"]]
        return shown


def read_only_names(node: Node) -> set[str]:
    """The properties that only answers have; also those that a part of an `allOf` declares for its neighbours."""
    found: set[str] = set()
    for name, part in node.part("properties").object().items():
        if _is_read_only(Node(part, node.resolver)):
            found.add(name)
    parts = node.part("allOf").value
    for part in parts if is_list(parts) else []:
        target = follow(Node(part, node.resolver), "allOf")
        properties = target.part("properties").object()
        found.update(name for name, each in properties.items() if _is_read_only(Node(each, target.resolver)))
    return found


def _is_read_only(node: Node) -> bool:
    raw = node.object()
    if "readOnly" in raw:
        return raw["readOnly"] is True
    return "$ref" in raw and follow(node, "a property").object().get("readOnly") is True


def _not_requiring(part: Any, hidden: set[str]) -> Any:
    """A part of an `allOf` that does not ask for what only answers have; one that is referred to stays."""
    if not is_mapping(part) or not is_list(part.get("required")):
        return cast("Any", part)
    known = part
    return {**known, "required": _others(known["required"], hidden)}


def _others(required: Iterable[Any], hidden: set[str]) -> list[str]:
    return [name for name in required if isinstance(name, str) and name not in hidden]


def _is_leaf(schema: Any) -> bool:
    """Whether a schema is so small that it is better written out than referred to: text, number, boolean."""
    if not is_mapping(schema):
        return isinstance(schema, bool)
    words = schema
    if "$ref" in words or "$id" in words or any(word in words for word in _NESTED):
        return False
    return words.get("type") in ("string", "number", "integer", "boolean")
