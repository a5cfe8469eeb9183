"""Calls a public method as users do: the plain one, or its `_async` twin on an event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any

MODES = ("sync", "async")


class Mode:
    """One way of calling; `Mode("async")(obj, "create", ...)` runs `obj.create_async(...)` on a loop of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, target: Any, method: str, *arguments: Any, **fields: Any) -> Any:
        if self.name == "sync":
            result = getattr(target, method)(*arguments, **fields)
            assert not inspect.isawaitable(result), f"{method} is synchronous and must not return an awaitable"
            return result
        return asyncio.run(_awaited(getattr(target, f"{method}_async"), arguments, fields))


async def _awaited(method: Any, arguments: tuple[Any, ...], fields: dict[str, Any]) -> Any:
    found: Awaitable[Any] = method(*arguments, **fields)
    return await found
