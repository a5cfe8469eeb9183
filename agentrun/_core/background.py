"""One event loop in a thread of its own, for what has to go on between calls: a connection that both worlds share.

It starts with its first user and ends with its last one. `cross` carries work over to it and waits for the result: in
place in blocking mode, without blocking the caller's loop otherwise. After a fork a child has none and starts another.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, suppress
from contextvars import Context
from queue import SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from agentrun._core.blocking import is_blocking
from agentrun.errors import Executed, TransportError

T = TypeVar("T")

# Runs something where the caller is: in its thread while it waits, or on its event loop.
Tell: TypeAlias = "Callable[[Callable[[], object]], None]"
Work: TypeAlias = "Callable[[Tell], Coroutine[Any, Any, T]]"

SECONDS_TO_STOP = 5.0


class BackgroundLoop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.users = 0
        self._starting = threading.Lock()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="agentrun-background", daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether it runs here: not stopped, and not left behind by a fork."""
        return _state.current is self

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        for task in (left := asyncio.all_tasks(self.loop)):
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def start(self, make: Callable[[], object]) -> None:
        """Call `make` on the loop; raises TransportError when it has stopped."""
        with self._starting:
            # What came after the stop would be accepted, and never end.
            if self._is_stopping:
                raise TransportError("the connection was closed meanwhile", executed=Executed.NO)
            # A context of its own: neither the caller's mode nor what was lent to its request belongs there.
            self.loop.call_soon_threadsafe(make, context=Context())

    def stop(self) -> None:
        """End the loop and its thread, and wait for that."""
        with self._starting:
            if not self._is_stopping:
                self._is_stopping = True
                self.loop.call_soon_threadsafe(self.loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(SECONDS_TO_STOP)


class _State:
    """The loop of this process, and who changes it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.current: BackgroundLoop | None = None


_state = _State()
# What a child inherited over a fork stays referenced: collecting it would disturb the parent's connections.
_inherited: list[_State] = []
_at_exit: list[Callable[[], None]] = []


def changing() -> AbstractContextManager[Any]:
    """The lock for whatever must be there once in this process; a child has another one after a fork."""
    return _state.lock


def acquire() -> BackgroundLoop:
    """The loop of this process for one more user, who has to release it."""
    with _state.lock:
        if _state.current is None:
            _state.current = BackgroundLoop()
        _state.current.users += 1
        return _state.current


def release(background: BackgroundLoop) -> None:
    """One user less; the last one ends the loop and its thread."""
    with _state.lock:
        background.users -= 1
        if background.users or not background.is_current:
            return
        _state.current = None
    background.stop()


def at_exit(close: Callable[[], None]) -> None:
    """Call this when the interpreter ends, while the loop still runs."""
    _at_exit.append(close)


def _end() -> None:
    for close in _at_exit:
        close()
    current, _state.current = _state.current, None
    if current is not None:
        current.stop()


def _after_fork() -> None:
    global _state
    _inherited.append(_state)
    _state = _State()


atexit.register(_end)
os.register_at_fork(after_in_child=_after_fork)


async def cross(background: BackgroundLoop, work: Work[T]) -> T:
    """The result of work that runs on the background loop; whoever stops waiting cancels it there."""
    crossing = _InPlace(background, work) if is_blocking() else _OnLoop(background, work)
    return await crossing.result()


class _Crossing(Generic[T]):
    def __init__(self, background: BackgroundLoop, work: Work[T]) -> None:
        self._background = background
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def _start(self) -> None:
        self._task = self._background.loop.create_task(self._work(self._tell))
        self._task.add_done_callback(self._done)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _abandon(self) -> None:
        with suppress(TransportError):
            self._background.start(self._cancel)

    def _tell(self, function: Callable[[], object]) -> None:
        raise NotImplementedError

    def _done(self, task: asyncio.Task[T]) -> None:
        raise NotImplementedError

    async def result(self) -> T:
        raise NotImplementedError


class _InPlace(_Crossing[T]):
    """Waits in the caller's thread."""

    def __init__(self, background: BackgroundLoop, work: Work[T]) -> None:
        super().__init__(background, work)
        self._news: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._finished_task: asyncio.Task[T] | None = None

    def _tell(self, function: Callable[[], object]) -> None:
        self._news.put(function)

    def _done(self, task: asyncio.Task[T]) -> None:
        self._news.put(lambda: self._finish(task))

    def _finish(self, task: asyncio.Task[T]) -> None:
        self._finished_task = task

    async def result(self) -> T:
        self._background.start(self._start)
        try:
            return _outcome(self._finished())
        except BaseException:
            self._abandon()
            raise

    def _finished(self) -> asyncio.Task[T]:
        while self._finished_task is None:
            self._news.get()()
        return self._finished_task


class _OnLoop(_Crossing[T]):
    """Awaits on the caller's loop."""

    def __init__(self, background: BackgroundLoop, work: Work[T]) -> None:
        super().__init__(background, work)
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[asyncio.Task[T]] = self._loop.create_future()

    def _tell(self, function: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # The caller's loop has ended, so nobody waits.
            self._loop.call_soon_threadsafe(function)

    def _done(self, task: asyncio.Task[T]) -> None:
        self._tell(lambda: self._finish(task))

    def _finish(self, task: asyncio.Task[T]) -> None:
        if not self._finished.done():
            self._finished.set_result(task)

    async def result(self) -> T:
        self._background.start(self._start)
        try:
            task = await self._finished
        except BaseException:
            self._abandon()
            raise
        return _outcome(task)


def _outcome(task: asyncio.Task[T]) -> T:
    if task.cancelled():
        raise TransportError("the connection was closed meanwhile")
    return task.result()
