"""Fields of what others wrote, read with their types; what is wrong is an ApiError that names the path of the field."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeAlias, TypeGuard, TypeVar, cast

from agentrun._core.values import is_list
from agentrun._serving.openai_error import ApiError, bad_request

T = TypeVar("T")
Reader: TypeAlias = Callable[[object, str], T]
"""Takes a value and the path it was found at, and returns it as what it stands for."""


def read_body(body: bytes) -> Mapping[str, object]:
    """Read a request body, which must be a JSON object."""
    try:
        fields: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The request body is not valid JSON: {error}.", "invalid_json") from error
    if not is_object(fields):
        raise bad_request("The request body must be a JSON object.", "invalid_json")
    return fields


def read_model(fields: Mapping[str, object]) -> str:
    """Read the name of the model that is asked."""
    if not fields.get("model"):
        raise bad_request("The request names no model.", "missing_required_parameter", "model")
    return string(fields["model"], "model")


def required(fields: Mapping[str, object], name: str) -> object:
    """Return a field that must be there."""
    if fields.get(name) is None:
        raise bad_request(f"The request has no {name}.", "missing_required_parameter", name)
    return fields[name]


def given(fields: Mapping[str, object], name: str, otherwise: object) -> object:
    """Return a field, or what stands for it when it is null or left out."""
    value = fields.get(name)
    return otherwise if value is None else value


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether it is an object; its keys are strings, as YAML's need not be."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in cast("dict[object, object]", value))


def object_of(value: object, where: str) -> Mapping[str, object]:
    """Read an object."""
    if not is_object(value):
        raise wrong_type(where, "an object", value)
    return value


def array(value: object, where: str) -> Sequence[object]:
    """Read an array."""
    if not is_list(value):
        raise wrong_type(where, "an array", value)
    return value


def array_of(reader: Reader[T]) -> Reader[list[T]]:
    """Make the reader of an array from the reader of its items."""
    return lambda value, where: [reader(item, f"{where}[{i}]") for i, item in enumerate(array(value, where))]


def string(value: object, where: str) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise wrong_type(where, "a string", value)
    return value


def optional_string(value: object, where: str) -> str:
    """Read a string that may be null or left out, which both mean an empty one."""
    return "" if value is None else string(value, where)


def boolean(value: object, where: str) -> bool:
    """Read a boolean that may be null or left out, which both mean false."""
    if not isinstance(value, bool | None):
        raise wrong_type(where, "a boolean", value)
    return bool(value)


def integer(value: object, where: str) -> int:
    """Read an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(where, "an integer", value)
    return value


def number(value: object, where: str) -> float:
    """Read a number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise wrong_type(where, "a number", value)
    return value


def one_of(value: object, where: str, known: Collection[str]) -> str:
    """Read a string that is one of those known."""
    if not isinstance(value, str) or value not in known:
        text = f"{where} is {_shown(value)}; it must be one of {', '.join(known)}."
        raise bad_request(text, "invalid_value", where)
    return value


def between(least: int, most: int) -> Reader[int]:
    """Make the reader of an integer within bounds, which belong to it."""

    def read(value: object, where: str) -> int:
        found = integer(value, where)
        if not least <= found <= most:
            raise bad_request(f"{where} is {found}; it must be {least} to {most}.", "invalid_value", where)
        return found

    return read


def check_keys(fields: Mapping[str, object], known: Collection[str], where: str) -> None:
    """Refuse a key that nobody reads, with the nearest that somebody does."""
    for key in fields:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
            raise bad_request(f"{where} has no key {key}: {hint}", "unknown_parameter", f"{where}.{key}")


def wrong_type(where: str, wanted: str, value: object) -> ApiError:
    """A value of another type than the one that is wanted."""
    return bad_request(f"{where} must be {wanted}, not {_shown(value)}.", "invalid_type", where)


def _shown(value: object) -> str:
    # YAML has values that JSON has not, dates for example.
    shown = json.dumps(value, default=str)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
