"""Which values the metadata of a document must have to be found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agentrun._core.values import is_list


def has_values(wanted: Iterable[tuple[str, Any]]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether metadata has all these values by their names; of a list in it, one must be the value."""
    texts = [(name, as_text(value)) for name, value in wanted]
    return lambda metadata: all(_has(metadata.get(name), value) for name, value in texts)


def _has(found: Any, wanted: str) -> bool:
    return wanted in map(as_text, found) if is_list(found) else found is not None and as_text(found) == wanted


def as_text(value: Any) -> str:
    """A value as the wires of providers have it, where numbers and booleans are texts."""
    return str(value).lower() if isinstance(value, bool) else str(value)
