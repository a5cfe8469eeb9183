"""The smallest value that a JSON schema describes, the same every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import TypeAlias, cast

_FORMATS = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT0S",
    "email": "a@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class NoExampleError(Exception):
    """No value was found; the text says why."""


def make_example(schema: Mapping[str, object]) -> object:
    """Make the value: first choices, required properties, shortest arrays; it may still break a rule unknown here."""
    return _Maker(schema).make(schema)


@dataclass(frozen=True)
class _Maker:
    """Knows the whole schema, and the references that it is inside of: to follow one again would never end."""

    root: Mapping[str, object]
    inside: tuple[str, ...] = ()

    def make(self, schema: object) -> object:
        if not isinstance(schema, Mapping):
            return ""  # `true`: anything will do
        known = cast("Mapping[str, object]", schema)
        for keyword, make in _MAKERS.items():
            if keyword in known:
                return make(self, known)
        return self._make_typed(known)

    def follow(self, schema: Mapping[str, object]) -> object:
        reference = str(schema["$ref"])
        if reference in self.inside:
            raise NoExampleError(f"{reference} needs itself")
        return replace(self, inside=(*self.inside, reference)).make(self._target(reference))

    def choose(self, branches: object, schema: Mapping[str, object]) -> object:
        """Make the first of the branches that can be made; null is smaller than any other."""
        reason = NoExampleError("there is nothing to choose from")
        for branch in sorted(_list(branches), key=lambda branch: _object(branch).get("type") != "null"):
            try:
                return self.make(_merged(schema, branch))
            except NoExampleError as error:
                reason = error
        raise reason

    def merge(self, schema: Mapping[str, object]) -> object:
        merged: Mapping[str, object] = _without(schema, "allOf")
        for part in _list(schema["allOf"]):
            merged = _merged(merged, self._resolved(part))
        return self.make(merged)

    def make_object(self, schema: Mapping[str, object]) -> object:
        properties = _object(schema.get("properties"))
        return {str(name): self.make(properties.get(str(name), True)) for name in _list(schema.get("required"))}

    def make_array(self, schema: Mapping[str, object]) -> object:
        first = _list(schema.get("prefixItems"))
        missing = max(0, _whole(schema.get("minItems"), len(first)) - len(first))
        return [self.make(item) for item in [*first, *[schema.get("items", True)] * missing]]

    def _make_typed(self, schema: Mapping[str, object]) -> object:
        kind = schema.get("type") or next((kind for word, kind in _IMPLIED.items() if word in schema), "string")
        kinds = _list(kind) or [kind]
        return _TYPES["null" if "null" in kinds else str(kinds[0])](self, schema)

    def _target(self, reference: str) -> object:
        found: object = self.root
        for step in reference.removeprefix("#").split("/")[1:]:
            found = _object(found).get(step.replace("~1", "/").replace("~0", "~"))
        if found is None or not reference.startswith("#"):
            raise NoExampleError(f"{reference} is not in the schema")
        return found

    def _resolved(self, schema: object) -> object:
        reference = _object(schema).get("$ref")
        return schema if reference is None else self._target(str(reference))


def _make_number(_: _Maker, schema: Mapping[str, object]) -> object:
    step = _number(schema.get("multipleOf")) or 1
    least, above = _number(schema.get("minimum")), _number(schema.get("exclusiveMinimum"))
    most, below = _number(schema.get("maximum")), _number(schema.get("exclusiveMaximum"))
    if least is not None and least > 0:
        return ceil(least / step) * step
    if above is not None and above >= 0:
        return (floor(above / step) + 1) * step
    if most is not None and most < 0:
        return floor(most / step) * step
    return 0 if below is None or below > 0 else (ceil(below / step) - 1) * step


def _make_string(_: _Maker, schema: Mapping[str, object]) -> object:
    text = _FORMATS.get(str(schema.get("format")), "")
    return text.ljust(_whole(schema.get("minLength"), 0), "x")


_Make: TypeAlias = Callable[[_Maker, Mapping[str, object]], object]
# What decides about a value more than its type does, in this order.
_MAKERS: Mapping[str, _Make] = {
    "const": lambda _, schema: schema["const"],
    "enum": lambda _, schema: next(iter(_list(schema["enum"])), None),
    "default": lambda _, schema: schema["default"],
    "$ref": _Maker.follow,
    "allOf": _Maker.merge,
    "anyOf": lambda maker, schema: maker.choose(schema["anyOf"], _without(schema, "anyOf")),
    "oneOf": lambda maker, schema: maker.choose(schema["oneOf"], _without(schema, "oneOf")),
}
_TYPES: Mapping[str, _Make] = {
    "object": _Maker.make_object,
    "array": _Maker.make_array,
    "string": _make_string,
    "number": _make_number,
    "integer": _make_number,
    "boolean": lambda _, __: False,
    "null": lambda _, __: None,
}
_IMPLIED = {"properties": "object", "required": "object", "items": "array", "prefixItems": "array", "minimum": "number"}


def _merged(schema: Mapping[str, object], other: object) -> Mapping[str, object]:
    """Both at once; properties and what is required add up."""
    added = _object(other)
    both: dict[str, object] = {**schema, **added}
    if "properties" in schema and "properties" in added:
        both["properties"] = {**_object(schema["properties"]), **_object(added["properties"])}
    if "required" in schema and "required" in added:
        both["required"] = list(dict.fromkeys([*_list(schema["required"]), *_list(added["required"])]))
    return both


def _without(schema: Mapping[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in schema.items() if key != name}


def _object(value: object) -> Mapping[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) else None


def _whole(value: object, otherwise: int) -> int:
    return int(_number(value) or otherwise)
