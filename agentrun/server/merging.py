"""How the `addition` of an event goes into what a protocol sends of it."""

from __future__ import annotations

from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun.server.events import AgentEvent, MergeOptions


def with_addition(document: dict[str, Any], event: AgentEvent) -> dict[str, Any]:
    """A document with the addition of an event in it; objects are merged, and anything else is replaced."""
    if not event.addition:
        return document
    return _merged(document, event.addition, event.addition_merge_options or {})


def _merged(document: dict[str, Any], addition: dict[str, Any], options: MergeOptions) -> dict[str, Any]:
    merged = dict(document)
    for name, value in addition.items():
        before = document.get(name)
        if name not in document and options.get("no_new_field"):
            continue
        if is_list(value) and not value and options.get("ignore_empty_list"):
            continue
        if is_object(before) and is_object(value):
            merged[name] = _merged(before, value, options)
        elif is_list(before) and is_list(value) and options.get("concat_list"):
            merged[name] = [*before, *value]
        else:
            merged[name] = value
    return merged
