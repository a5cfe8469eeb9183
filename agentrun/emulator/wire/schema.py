"""Checks a request against the service's schemas, and says which field is wrong.

A schema is compiled once into nested checks. The strict form refuses what the service does not know; the loose form
collects it as remarks. Empty lists count as absent, because the official client sends them unasked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from agentrun._core import names
from agentrun._core.values import is_list, is_object

Report: TypeAlias = Callable[[str], None]
Check: TypeAlias = Callable[[Any, str, Report], None]
Schemas: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]

_SCALARS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a string"),
    "int": ((int,), "an integer"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "a boolean"),
}


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the most similar known name, or all of them."""
    found = names.nearest(name, known)
    return f"did you mean {found}?" if found else f"known are {', '.join(sorted(known))}"


def _describe(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _scalar(name: str) -> Check:
    kinds, wanted = _SCALARS[name]

    def check(value: Any, path: str, report: Report) -> None:
        # bool is an int in Python, but not on the wire.
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        if wrong and not (name == "int" and isinstance(value, float) and value.is_integer()):
            report(f"{path} must be {wanted}, not {_describe(value)}")

    return check


def _anything(value: Any, path: str, report: Report) -> None:
    return None


def _list_of(item: Check) -> Check:
    def check(value: Any, path: str, report: Report) -> None:
        if not is_list(value):
            report(f"{path} must be a list, not {_describe(value)}")
            return
        for index, entry in enumerate(value):
            item(entry, f"{path}[{index}]", report)

    return check


def _map_of(item: Check) -> Check:
    def check(value: Any, path: str, report: Report) -> None:
        if not is_object(value):
            report(f"{path} must be an object, not {_describe(value)}")
            return
        for key, entry in value.items():
            item(entry, f"{path}.{key}", report)

    return check


class SchemaCheck:
    """The compiled checks of all schemas."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._compiled: dict[str, Check] = {}

    def problems(self, schema: str, value: Any) -> list[str]:
        """What is wrong with a value, in sentences; empty when nothing is."""
        found: list[str] = []
        self._check(schema)(value, "", found.append)
        return found

    def _check(self, type_name: str) -> Check:
        check = self._compiled.get(type_name)
        if check is None:
            check = self._compiled[type_name] = self._compile(type_name)
        return check

    def _compile(self, type_name: str) -> Check:
        if type_name in _SCALARS:
            return _scalar(type_name)
        if match := re.fullmatch(r"List\[(.+)\]", type_name):
            return _list_of(self._check(match.group(1)))
        if match := re.fullmatch(r"Dict\[str, (.+)\]", type_name):
            return _map_of(self._check(match.group(1)))
        return self._object(type_name) if type_name in self._schemas else _anything

    def _object(self, name: str) -> Check:
        fields = self._schemas[name]
        required = [field for field, spec in fields.items() if spec.get("required")]

        def check(value: Any, path: str, report: Report) -> None:
            if not is_object(value):
                report(f"{path or 'the body'} must be an object, not {_describe(value)}")
                return
            prefix = f"{path}." if path else ""
            for field in required:
                if value.get(field) in (None, []):
                    report(f"{prefix}{field} is required")
            for field, entry in value.items():
                if field not in fields:
                    report(f"{prefix}{field} is not a field of {name}: {nearest(field, fields)}")
                elif entry is not None and entry != []:
                    self._check(fields[field]["type"])(entry, f"{prefix}{field}", report)

        return check


def without_empty_lists(value: Any) -> Any:
    """A body without the empty lists and nulls that stand for "not given"."""
    if is_object(value):
        return {key: without_empty_lists(entry) for key, entry in value.items() if entry is not None and entry != []}
    return value
