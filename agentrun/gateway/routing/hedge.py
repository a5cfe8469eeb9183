"""Asks a second time when the first answer is slow: the first to come is taken, and the other call is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Attempt = Coroutine[Any, Any, T]


async def hedged(
    first: Attempt[T], after: float, second: Callable[[], Attempt[T] | None], discard: Callable[[T], Awaitable[None]]
) -> T:
    """The answer that comes first; `second` is asked for another attempt when none has come `after` some seconds.

    Raises what the last attempt raised when none succeeded. An answer that came too late is given to `discard`.
    """
    tasks: list[asyncio.Future[T]] = [asyncio.ensure_future(first)]
    try:
        await asyncio.wait(tasks, timeout=after)
        if not tasks[0].done() and (other := second()) is not None:
            tasks.append(asyncio.ensure_future(other))
        winner = await _first_good(tasks)
        tasks.remove(winner)
    finally:
        await _dismiss(tasks, discard)
    return winner.result()


async def _first_good(tasks: list[asyncio.Future[T]]) -> asyncio.Future[T]:
    """The first of these that succeeds, or the last one that fails."""
    waiting: set[asyncio.Future[T]] = set(tasks)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        good = next((task for task in done if not task.exception()), None)
        if good is not None or not waiting:
            return good or done.pop()


async def _dismiss(tasks: list[asyncio.Future[T]], discard: Callable[[T], Awaitable[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(result, BaseException):
            await discard(result)
