"""Reading requests strictly: every field has a name and a type, and a wrong one is answered with the right one."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from starlette.requests import Request

from agentrun.emulator.guest.errors import BadRequest

T = TypeVar("T")
TYPE_NAMES: dict[type[Any], str] = {str: "a string", bool: "true or false", float: "a number", int: "an integer"}


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


async def body(request: Request, known: Iterable[str]) -> Fields:
    """The JSON object of the request; BadRequest when it is none or has a field that is not known."""
    try:
        values: Any = json.loads(await request.body())
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise BadRequest("the body must be a JSON object")
    fields = Fields(cast("dict[str, Any]", values))
    _refuse_unknown(fields.values, list(known), "field")
    return fields


def query(request: Request, known: Iterable[str]) -> Fields:
    """The query parameters; numbers stay text."""
    values = dict(request.query_params)
    _refuse_unknown(values, [*known, "tenantId"], "query parameter")
    return Fields(values)


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
