"""Which values the metadata of documents must have: one plain form, and what each provider makes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agentrun._core.values import is_object
from agentrun.errors import InvalidInputError

_COLUMN = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def equal_values(filters: Any) -> dict[str, str] | None:
    """The plain form, `{"field": value}`, with its values as text; None when there is none, or no field in it.

    Raises InvalidInputError when it is something else.
    """
    if filters is None:
        return None
    if not is_object(filters):
        raise _unfit("metadata_filters must be a dict", filters)
    return {name: _text(name, value) for name, value in filters.items()} or None


def as_condition(values: Mapping[str, str]) -> str:
    """The plain form as a condition in SQL; raises InvalidInputError for names that cannot be columns."""
    return " AND ".join(f"{_column(name)} = {_literal(value)}" for name, value in values.items())


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise _unfit(f"metadata_filters.{name} must be a text, a number or a boolean", value)


def _column(name: str) -> str:
    if not _COLUMN.fullmatch(name):
        raise InvalidInputError(f"{name!r} is not the name of a column", field="metadata_filters")
    return name


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _unfit(message: str, value: Any) -> InvalidInputError:
    return InvalidInputError(
        f"{message}, not {type(value).__name__}",
        field="metadata_filters",
        hint='Give fields with the values they must have, such as {"year": "2024"}',
    )
