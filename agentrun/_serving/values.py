"""JSON as it comes, and what it turns out to be: type checkers know nothing of it before somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value is an object, whose keys are text on the wire."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a value is a list."""
    return isinstance(value, list)


def section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object that a document holds under a name, empty when there is none."""
    found: Mapping[str, Any] = document.get(name) or {}
    return found
