"""What a tool takes, as JSON Schema, and whether given arguments fit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agentrun.errors import InvalidInputError

Schema = Mapping[str, Any]

_KINDS: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "string": ("a string", str),
    "integer": ("an integer", int),
    "number": ("a number", (int, float)),
    "boolean": ("true or false", bool),
    "array": ("a list", (list, tuple)),
    "object": ("an object", Mapping),
}


@dataclass(frozen=True)
class Parameter:
    """One argument of a tool; `items` is the schema of each item of a list."""

    name: str
    type: str
    description: str
    default: Any = None
    required: bool = False
    items: Schema | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """The argument as JSON Schema."""
        given = {"default": self.default, "items": self.items}
        described = {"type": self.type, "description": self.description}
        return {**described, **{name: value for name, value in given.items() if value is not None}}


def required(name: str, kind: str, description: str, items: Schema | None = None) -> Parameter:
    """An argument that must be given."""
    return Parameter(name, kind, description, required=True, items=items)


def optional(name: str, kind: str, description: str, default: Any = None, items: Schema | None = None) -> Parameter:
    """An argument that may be left away."""
    return Parameter(name, kind, description, default, items=items)


def object_schema(*parameters: Parameter) -> dict[str, Any]:
    """The arguments of a tool as JSON Schema."""
    return {
        "type": "object",
        "properties": {parameter.name: parameter.schema for parameter in parameters},
        "required": [parameter.name for parameter in parameters if parameter.required],
    }


def checked(tool: str, schema: Schema, arguments: Any) -> dict[str, Any]:
    """The arguments that were given; raises InvalidInputError, which says what is right.

    None for an argument that may be left away counts as not given, because models write it so.
    """
    if not isinstance(arguments, Mapping):
        raise InvalidInputError(f"the arguments of {tool} must be an object, not {arguments!r:.80}", field="arguments")
    return _checked_fields(schema, cast("Mapping[str, Any]", arguments), tool, "argument ")


def _checked_fields(schema: Schema, given: Mapping[str, Any], owner: str, prefix: str) -> dict[str, Any]:
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    needed: list[str] = list(schema.get("required") or ())
    present = {name: value for name, value in given.items() if value is not None or name in needed}
    for name in present:
        if name not in properties:
            raise InvalidInputError(f"{owner} has no argument {name!r}", field=name, hint=_taken(properties))
    for name in needed:
        if name not in present:
            raise InvalidInputError(f"{owner} needs the argument {name!r}", field=name, hint=_taken(properties))
    return {name: _checked_value(properties[name], value, f"{prefix}{name}", name) for name, value in present.items()}


def _checked_value(schema: Schema, value: Any, where: str, field: str) -> Any:
    kind = str(schema.get("type"))
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON does not tell 60 from 60.0.
    if not _is(kind, value):
        raise InvalidInputError(f"{where} must be {_KINDS[kind][0]}, not {value!r:.80}", field=field)
    if value not in schema.get("enum", (value,)):
        allowed = ", ".join(str(each) for each in schema["enum"])
        raise InvalidInputError(f"{where} cannot be {value!r:.80}", field=field, hint=f"Allowed are: {allowed}")
    if kind == "array":
        items: Schema = schema.get("items") or {}
        given = cast("Sequence[Any]", value)
        return [_checked_value(items, item, f"{where}[{index}]", field) for index, item in enumerate(given)]
    if kind == "object" and "properties" in schema:
        return _checked_fields(schema, cast("Mapping[str, Any]", value), where, f"{where}.")
    return value


def _is(kind: str, value: Any) -> bool:
    if kind not in _KINDS:
        return True
    is_confused = isinstance(value, bool) and kind in ("integer", "number")  # Python counts True as 1.
    return isinstance(value, _KINDS[kind][1]) and not is_confused


def _taken(properties: Mapping[str, Schema]) -> str:
    names = ", ".join(f"{name} ({schema.get('type')})" for name, schema in properties.items())
    return f"It takes {names}" if names else "It takes no arguments"
