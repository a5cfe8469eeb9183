"""Long work on the event loop without holding up others, and what blocks in a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

SLICE = 0.005


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """The items; every few milliseconds of work others get their turn."""
    until = time.monotonic() + SLICE
    for item in items:
        yield item
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + SLICE


async def all_in_turns(items: Iterable[T]) -> list[T]:
    """All items, collected while others get their turns."""
    return [item async for item in in_turns(items)]


async def in_thread(work: Callable[[], T]) -> T:
    """Do what blocks in a thread; here, when a fork bomb leaves no room for one."""
    try:
        return await asyncio.to_thread(work)
    except RuntimeError as error:
        if "new thread" not in str(error):
            raise
        return work()
