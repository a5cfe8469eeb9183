"""JSON as it comes, and what it turns out to be: type checkers know nothing of it before somebody looks.

What was parsed is a dict. What users hand over may be any mapping, which takes longer to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value is an object, whose keys are text on the wire."""
    return isinstance(value, dict)


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value can be written as an object; its keys are taken for text."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value is a list."""
    return isinstance(value, list)


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether a value is a tuple, which no JSON has and users hand over for a list."""
    return isinstance(value, tuple)


def as_mapping(value: object) -> Mapping[str, Any]:
    """The value when it is a mapping, else an empty one."""
    return value if is_mapping(value) else {}


def as_list(value: object) -> list[Any]:
    """The value when it is a list, else an empty one."""
    return value if is_list(value) else []


def section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object that a document holds under a name, empty when there is none."""
    found: Mapping[str, Any] = document.get(name) or {}
    return found
