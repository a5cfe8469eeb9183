"""One body for both worlds: drives a coroutine to its end without an event loop.

Every operation is written once, as a coroutine. Its synchronous twin hands that coroutine to `run`, which steps it
with `blocking` set; whatever does input or output looks at `blocking` and uses a client that waits in place, so the
coroutine never suspends. A coroutine that does suspend was written for an event loop, and is refused loudly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from agentrun.errors import BlockingError

T = TypeVar("T")

_blocking: ContextVar[bool] = ContextVar("agentrun_blocking", default=False)


def is_blocking() -> bool:
    """Whether the code that asks was called through a synchronous method."""
    return _blocking.get()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that does its waiting in place.

    Raises BlockingError when it suspends, and whatever the coroutine raises.
    """
    token = _blocking.set(True)
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        _blocking.reset(token)
        with suppress(RuntimeError):  # A coroutine that awaits while it is closed; the refusal below says more.
            coroutine.close()
    raise BlockingError(
        f"{getattr(coroutine, '__qualname__', 'the call')} awaits something that needs an event loop",
        hint="Call the method whose name ends in _async and await it",
    )


@contextmanager
def unblocked() -> Generator[None]:
    """Code of the caller's own, called within, chooses its mode itself: it may start an event loop, or call `run`."""
    token = _blocking.set(False)
    try:
        yield
    finally:
        _blocking.reset(token)


def iterate(values: AsyncIterator[T]) -> Iterator[T]:
    """The values of an asynchronous iterator whose waiting is done in place."""
    while True:
        try:
            value = run(_next(values))
        except StopAsyncIteration:
            return
        yield value


async def _next(values: AsyncIterator[T]) -> T:
    return await values.__anext__()


async def sleep(seconds: float) -> None:
    """Wait, in place or on the event loop."""
    if is_blocking():
        time.sleep(seconds)
    else:
        await asyncio.sleep(seconds)


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order: at the same time on an event loop, one after the other in blocking mode."""
    if is_blocking():
        return await _one_by_one(list(coroutines))
    return list(await asyncio.gather(*coroutines))


async def _one_by_one(coroutines: list[Coroutine[Any, Any, T]]) -> list[T]:
    try:
        return [await coroutine for coroutine in coroutines]
    finally:
        for coroutine in coroutines:
            coroutine.close()  # What a failure left unstarted would be reported as never awaited.
