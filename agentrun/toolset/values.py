"""What a JSON value is, in a form that type checkers follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value is a list."""
    return isinstance(value, list)


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether a value is a tuple."""
    return isinstance(value, tuple)


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value is a mapping, whose keys are taken for text."""
    return isinstance(value, Mapping)


def as_list(value: object) -> list[Any]:
    """The value when it is a list, else an empty one."""
    return value if is_list(value) else []


def as_object(value: object) -> Mapping[str, Any]:
    """The value when it is a mapping, else an empty one."""
    return value if is_object(value) else {}
