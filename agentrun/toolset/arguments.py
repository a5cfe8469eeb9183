"""The arguments of a call against the tool's JSON schema; the `jsonschema` package checks, the words are ours.

What was given is never repeated in an error, because it may be a secret.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import (
    SchemaError,
    UnknownType,
    ValidationError,
    best_match,  # pyright: ignore[reportUnknownVariableType]  # its stub leaves open what it returns
)
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from agentrun._core.names import nearest
from agentrun._core.values import as_list, as_mapping, is_mapping
from agentrun.errors import InvalidInputError

_most_wrong = cast("Callable[[Iterable[ValidationError]], ValidationError | None]", best_match)
# What `jsonschema` raises in the middle of its work when a schema is none.
_UNUSABLE = (Unresolvable, UnknownType, RecursionError, SchemaError, re.error, TypeError, AttributeError, ValueError)
_SHOWN = 10
_Path: TypeAlias = "tuple[int | str, ...]"


def checked_arguments(tool_name: str, schema: Mapping[str, Any], arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments, which fit the schema; an optional one that is null without being allowed to is left away.

    Raises InvalidInputError, whose `field` is the path to what does not fit, such as `pet.tags[1].name`. The schema's
    validator is kept, so the schema must not be changed afterwards.
    """
    if arguments is not None and not is_mapping(arguments):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers
        raise InvalidInputError(f"the arguments of {tool_name} must be a mapping, not {_kind(arguments)}")
    given = dict(arguments or {})
    try:
        return _checked(tool_name, _validator(_Same(schema)), given)
    except InvalidInputError:
        raise
    except _UNUSABLE as error:
        raise InvalidInputError(f"the schema of {tool_name} cannot be used: {_fault(schema, error)}") from error


def fault_in(schema: Mapping[str, Any], value: Any) -> str | None:
    """Where a value does not fit a schema, without the value itself; None when it does, or the schema is unusable.

    The schema's validator is kept, so the schema must not be changed afterwards.
    """
    try:
        fault = _most_wrong(_validator(_Same(schema)).iter_errors(value))
    except _UNUSABLE:
        return None
    return None if fault is None else f"{fault.json_path} breaks {fault.validator!r}"


def _checked(tool_name: str, validator: Validator, given: dict[str, Any]) -> dict[str, Any]:
    faults = list(validator.iter_errors(given))
    nulls: dict[_Path, ValidationError] = {}
    while found := {tuple(fault.absolute_path): fault for fault in faults if _is_null_property(fault)}:
        nulls |= found
        given = _without(given, found)
        faults = list(validator.iter_errors(given))
    fault = _most_wrong(faults)
    if fault is None:
        return given
    # A null that was needed is what was wrong, and not that it is missing now.
    raise _refused(tool_name, nulls.get(_path(fault), fault))


def _is_null_property(fault: ValidationError) -> bool:
    """Whether the fault is a null that can be left away, because it is not the item of a list."""
    return fault.instance is None and bool(fault.absolute_path) and isinstance(fault.absolute_path[-1], str)


def _without(given: dict[str, Any], paths: Iterable[_Path]) -> dict[str, Any]:
    """A copy of the arguments that lacks the properties at these paths."""
    changed = copy.deepcopy(given)
    for path in paths:
        holder: Any = changed
        for part in path[:-1]:
            holder = holder[part]
        del holder[path[-1]]
    return changed


class _Same:
    """A schema as a key: equal to itself only, because comparing contents takes longer than using them."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.schema is self.schema


@lru_cache(maxsize=2048)
def _validator(key: _Same) -> Validator:
    kind = validator_for(key.schema, default=Draft202012Validator)
    # An empty registry, because the usual one would fetch a `$ref` to another address from there.
    return kind(key.schema, registry=Registry())


def _fault(schema: Mapping[str, Any], error: Exception) -> str:
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(cast("dict[str, Any]", schema))
    except SchemaError as found:
        return f"{found.json_path}: {found.message}"
    return str(error) or type(error).__name__


# Words


def _refused(tool_name: str, fault: ValidationError) -> InvalidInputError:
    field = path_text(_path(fault))
    said, hint = _words(fault, _unknown(fault))
    return InvalidInputError(f"{tool_name}: {field or 'the arguments'} {said}", field=field, hint=hint)


def _path(fault: ValidationError) -> _Path:
    """Where the fault is; for what is missing, and for what must not be there, its own place."""
    named = _missing(fault) if fault.validator == "required" else _unknown(fault)
    return (*fault.absolute_path, *([] if named is None else [named]))


def path_text(path: Iterable[int | str]) -> str:
    """A path as text, such as `pet.tags[1].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _missing(fault: ValidationError) -> str:
    instance = as_mapping(fault.instance)
    return next(str(name) for name in as_list(fault.validator_value) if name not in instance)


def _unknown(fault: ValidationError) -> str | None:
    """The property that may not be there, None when the fault is another."""
    if fault.validator not in ("additionalProperties", "unevaluatedProperties"):
        return None
    schema = as_mapping(fault.schema)
    known, patterns = _properties(fault), as_mapping(schema.get("patternProperties"))
    found = (str(name) for name in as_mapping(fault.instance))
    return next((n for n in found if n not in known and not any(re.search(p, n) for p in patterns)), None)


def _properties(fault: ValidationError) -> list[str]:
    return list(as_mapping(as_mapping(fault.schema).get("properties")))


def _words(fault: ValidationError, unknown: str | None) -> tuple[str, str | None]:
    """What is wrong, and what is allowed."""
    limit: Any = fault.validator_value
    if unknown is not None:
        return "is not known", _known(unknown, _properties(fault))
    if fault.validator == "required":
        return "is missing", _described(fault.schema, _missing(fault))
    if fault.validator == "type":
        return f"must be {_types(limit)}, not {_kind(fault.instance)}", None
    if fault.validator == "enum":
        return "is none of the values that are allowed", f"Allowed are: {_listed(limit)}"
    if fault.validator in ("anyOf", "oneOf"):
        return f"fits none of the {len(limit)} forms that are allowed", _forms(limit)
    if fault.validator == "dependentRequired":
        return "lacks a part", f"What was given needs the rest of it: {fault.message.rpartition(' is a dep')[0]}"
    template = _PLAIN.get(str(fault.validator))
    return (
        (template.format(limit), None)
        if template
        else (f"does not fit the schema's {fault.validator}", f"Its value there: {limit!r:.200}")
    )


_PLAIN = {
    "const": "must be {!r}",
    "pattern": "must match the pattern {}",
    "minLength": "must have {} characters or more",
    "maxLength": "must have {} characters or fewer",
    "minimum": "must be {} or more",
    "maximum": "must be {} or less",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minItems": "must have {} items or more",
    "maxItems": "must have {} items or fewer",
    "uniqueItems": "must not have the same item twice",
    "minProperties": "must have {} properties or more",
    "maxProperties": "must have {} properties or fewer",
    "contains": "lacks an item that it must contain",
    "not": "has a form that is not allowed",
}


def _known(unknown: str, known: list[str]) -> str:
    suggestion = nearest(unknown, known)
    if suggestion:
        return f"Did you mean {suggestion}?"
    return f"Known are: {_listed(known)}" if known else "There are none"


def _described(schema: Any, name: str) -> str | None:
    spec = as_mapping(as_mapping(as_mapping(schema).get("properties")).get(name))
    if "enum" in spec:
        return f"Allowed are: {_listed(spec['enum'])}"
    return f"It is {_types(spec['type'])}" if "type" in spec else None


def _forms(branches: Sequence[Any]) -> str | None:
    kinds = [_types(as_mapping(branch)["type"]) for branch in branches if "type" in as_mapping(branch)]
    return f"Allowed are: {', '.join(dict.fromkeys(kinds))}" if kinds else None


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:_SHOWN])
    return f"{shown} and {len(values) - _SHOWN} more" if len(values) > _SHOWN else shown


_NAMES = {"integer": "an integer", "array": "an array", "object": "an object", "null": "null"}


def _types(kinds: str | list[str]) -> str:
    names = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(_NAMES.get(name, f"a {name}") for name in names)


_KINDS: Mapping[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def _kind(value: object) -> str:
    """The JSON type of a value in words, or its Python type where JSON has none."""
    return _KINDS.get(type(value), type(value).__name__)
