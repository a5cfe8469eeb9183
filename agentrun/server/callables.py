"""What a handler is, before it is called."""

from __future__ import annotations

import functools
import inspect
from typing import Any, cast


def makes_awaitable(handler: Any) -> bool:
    """Whether calling this only makes something to await or to iterate asynchronously, and so blocks nobody."""
    found = inspect.unwrap(handler)
    while isinstance(found, functools.partial):
        found = inspect.unwrap(cast("Any", found.func))
    if not inspect.isroutine(found):
        found = type(found).__call__
    return inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found)
