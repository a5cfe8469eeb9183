"""A value that is made when it is first needed, exactly once, whoever asks at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agentrun._core.blocking import is_blocking
from agentrun.errors import BlockingError, SandboxError

T = TypeVar("T")


@dataclass(frozen=True)
class _Made(Generic[T]):
    value: T


@dataclass(frozen=True, eq=False)
class _Attempt(Generic[T]):
    """One making; its outcome is None when it was cancelled and somebody else must try."""

    outcome: Future[_Made[T] | None] = field(default_factory=lambda: Future[_Made[T] | None]())
    thread: int = field(default_factory=threading.get_ident)


class Once(Generic[T]):
    """Makes a value for threads and tasks alike; a failure goes to all who wait for it, and the next one tries again.

    The lock is held to see whose turn it is and never while something is awaited: threads wait for the outcome in
    place, tasks on their event loop.
    """

    def __init__(self, make: Callable[[], Awaitable[T]], what: str) -> None:
        self._make = make
        self._what = what
        self._lock = threading.Lock()
        self._attempt: _Attempt[T] | None = None
        self._closed = False

    @property
    def value(self) -> T | None:
        """The value, None when it has not been made."""
        attempt = self._attempt
        if attempt is None or not attempt.outcome.done() or attempt.outcome.exception() is not None:
            return None
        made = attempt.outcome.result()
        return made.value if made else None

    async def get(self) -> T:
        """The value; raises what making it raised, and SandboxError after `close`."""
        while True:
            attempt, is_mine = self._take_turn()
            made = await (self._fill(attempt) if is_mine else self._wait(attempt))
            if made is not None:
                return made.value

    def discard(self, value: T) -> None:
        """Make another one next time, unless that has been done already."""
        with self._lock:
            if self._attempt is not None and self.value is value:
                self._attempt = None

    async def close(self) -> T | None:
        """Make none any more; the one that there is, or that is just being made."""
        with self._lock:
            self._closed, attempt, self._attempt = True, self._attempt, None
        if attempt is None:
            return None
        try:
            made = await self._wait(attempt)
        except Exception:
            return None  # Whoever tried to make it has been told.
        return made.value if made else None

    def _take_turn(self) -> tuple[_Attempt[T], bool]:
        with self._lock:
            if self._closed:
                raise SandboxError(f"{self._what} is closed", hint="Make a new one")
            if self._attempt is not None:
                return self._attempt, False
            self._attempt = _Attempt[T]()
            return self._attempt, True

    async def _fill(self, attempt: _Attempt[T]) -> _Made[T]:
        try:
            made = _Made(await self._make())
        except BaseException as error:
            self._forget(attempt)
            if isinstance(error, Exception):
                attempt.outcome.set_exception(error)
            else:
                attempt.outcome.set_result(None)
            raise
        attempt.outcome.set_result(made)
        return made

    def _forget(self, attempt: _Attempt[T]) -> None:
        with self._lock:
            if self._attempt is attempt:
                self._attempt = None

    async def _wait(self, attempt: _Attempt[T]) -> _Made[T] | None:
        if not is_blocking():
            # Shielded, because whoever gives up waiting must not take the value away from the others.
            return await asyncio.shield(asyncio.wrap_future(attempt.outcome))
        if attempt.thread == threading.get_ident() and not attempt.outcome.done():
            raise BlockingError(
                f"{self._what} is being started on this thread's event loop, which this call would stop",
                hint="Call the method whose name ends in _async and await it",
            )
        return attempt.outcome.result()
