"""Reading requests strictly: every field has a name and a type, and a wrong one is answered with the right one."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from starlette.requests import HTTPConnection, Request

from agentrun.emulator.guest.errors import BadRequest

T = TypeVar("T")
TYPE_NAMES: dict[type[Any], str] = {
    str: "a string",
    bool: "true or false",
    float: "a number",
    int: "an integer",
    list: "a list",
    dict: "an object",
}
DEFAULT_TIMEOUT = 30.0
MAX_TIMEOUT = 24 * 3600.0


@dataclass(frozen=True)
class Fields:
    """The fields of one request, read by name and type."""

    values: Mapping[str, Any]

    def required(self, name: str, kind: type[T]) -> T:
        """The field; BadRequest when it is missing or has another type."""
        if self.values.get(name) is None:
            raise BadRequest(f"the field {name!r} is required")
        return _checked(name, self.values[name], kind)

    def optional(self, name: str, kind: type[T], default: T) -> T:
        """The field, or the default when it is missing or null."""
        value = self.values.get(name)
        return default if value is None else _checked(name, value, kind)

    def maybe(self, name: str, kind: type[T]) -> T | None:
        """The field, or None when it is missing or null."""
        value = self.values.get(name)
        return None if value is None else _checked(name, value, kind)

    def texts(self, name: str) -> list[str]:
        """A list of strings; empty when it is missing."""
        values: list[Any] = self.optional(name, list, [])
        if not all(isinstance(value, str) for value in values):
            raise BadRequest(f"the field {name!r} must be a list of strings")
        return values

    def objects(self, name: str, known: Iterable[str]) -> list[Fields]:
        """A list of objects that have the known fields only; empty when it is missing."""
        values: list[Any] = self.optional(name, list, [])
        return [_object(value, known, f"each of the field {name!r}") for value in values]

    def mapping(self, name: str) -> dict[str, str]:
        """An object of strings; empty when it is missing."""
        values: dict[str, Any] = self.optional(name, dict, {})
        if not all(isinstance(value, str) for value in values.values()):
            raise BadRequest(f"the field {name!r} must be an object of strings")
        return values

    def timeout(self, default: float = DEFAULT_TIMEOUT) -> float:
        """The field `timeout` in seconds."""
        seconds = self.optional("timeout", float, default)
        if not 0 < seconds <= MAX_TIMEOUT:
            raise BadRequest(f"the timeout must be above 0 and at most {MAX_TIMEOUT:g} seconds, not {seconds:g}")
        return seconds

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A query parameter that is true or false."""
        text = self.optional(name, str, str(default)).lower()
        if text not in ("true", "false", "1", "0"):
            raise BadRequest(f"{name} must be true or false, not {text!r}")
        return text in ("true", "1")

    def number(self, name: str, default: int, *, least: int = 1, most: int = 1_000_000_000) -> int:
        """A query parameter that is a whole number."""
        text = self.optional(name, str, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
            raise BadRequest(f"{name} must be a whole number from {least} to {most}, not {text!r}")
        return int(text)

    def seconds(self, name: str, default: float) -> float:
        """A query parameter in seconds, up to a day."""
        text = self.optional(name, str, str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1
        if not 0 <= value <= MAX_TIMEOUT:
            raise BadRequest(f"{name} must be from 0 to {MAX_TIMEOUT:g} seconds, not {text!r}")
        return value


async def body(request: Request, known: Iterable[str]) -> Fields:
    """The JSON object of the request; BadRequest when it is none or has a field that is not known."""
    try:
        values: Any = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    return _object(values, known, "the body")


def query(request: HTTPConnection, known: Iterable[str]) -> Fields:
    """The query parameters; numbers stay text."""
    values = dict(request.query_params)
    _refuse_unknown(values, [*known, "tenantId"], "query parameter")
    return Fields(values)


def _object(values: Any, known: Iterable[str], what: str) -> Fields:
    if not isinstance(values, dict):
        raise BadRequest(f"{what} must be a JSON object")
    fields = Fields(cast("dict[str, Any]", values))
    _refuse_unknown(fields.values, list(known), "field")
    return fields


def _refuse_unknown(values: Mapping[str, Any], known: list[str], noun: str) -> None:
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise BadRequest(f"unknown {noun} {name!r}: {hint}")


def _checked(name: str, value: Any, kind: type[T]) -> T:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadRequest(f"the field {name!r} must be {TYPE_NAMES.get(kind, kind.__name__)}")
    return value
