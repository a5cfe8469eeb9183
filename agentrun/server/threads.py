"""Blocking code beside an event loop: each run has a thread of its own, which waits when nobody takes what it gives."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing, suppress
from typing import Generic, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

T = TypeVar("T")

_MOST_WAITING = 64


class _Abandoned(Exception):
    """Nobody listens any more."""


class _Pipe(Generic[T]):
    """Carries values from a thread to an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._values: deque[T] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        self._abandoned = False

    def put(self, value: T) -> None:
        """Give a value, from the thread; waits while there are many that nobody took."""
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or len(self._values) < _MOST_WAITING)
            if self._abandoned:
                raise _Abandoned
            self._values.append(value)
            if len(self._values) == 1:
                self._loop.call_soon_threadsafe(self._arrived.set)

    def end(self) -> None:
        """Say on the loop that there is no more."""
        self._ended = True
        self._arrived.set()

    def abandon(self) -> None:
        """Say on the loop that nobody takes any more."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    async def take(self) -> list[T]:
        """All that waits, at least one; empty at the end."""
        while not self._values and not self._ended:
            await self._arrived.wait()
            self._arrived.clear()
        with self._changed:
            values = list(self._values)
            self._values.clear()
            self._changed.notify_all()
        return values


def _put_all(pipe: _Pipe[T], values: Generator[T, None, None]) -> None:
    with closing(values), suppress(_Abandoned):
        for value in values:
            pipe.put(value)


async def iterate_in_thread(produce: Callable[[], Generator[T, None, None]]) -> AsyncGenerator[T, None]:
    """What a blocking generator gives, as it comes; its errors are raised here.

    It runs in the context of the caller, and is closed in its own thread when the caller stops to take.
    """
    pipe: _Pipe[T] = _Pipe()

    def work() -> None:
        try:
            _put_all(pipe, produce())
        except SystemExit as error:  # It would end the event loop, and with it everybody else's requests.
            raise RuntimeError(f"The agent called for the end of the process: SystemExit({error})") from error

    async def run() -> None:
        try:
            # A limit of its own for each: any number of runs may wait at once. A thread cannot be stopped, so a
            # cancelled run leaves it behind, and it ends with the next value it gives.
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=CapacityLimiter(1))
        finally:
            pipe.end()

    thread = asyncio.create_task(run())
    try:
        while values := await pipe.take():
            for value in values:
                yield value
        await thread
    finally:
        pipe.abandon()
        thread.cancel()
        thread.add_done_callback(_forget)


def _forget(thread: asyncio.Task[None]) -> None:
    """Errors of a thread that was left behind are nobody's."""
    if not thread.cancelled():
        thread.exception()
