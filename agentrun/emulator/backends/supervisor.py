"""Keeps one service alive: starts it, and starts it again with growing pauses when it crashes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum

from agentrun.emulator.backends.base import BackendError, Running

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
STEADY_AFTER = 60.0
KEPT_LINES = 10_000


class State(str, Enum):
    """Where a supervised service stands."""

    STARTING = "STARTING"
    READY = "READY"
    CRASHED = "CRASHED"
    STOPPED = "STOPPED"


class Supervised:
    """One service that is kept alive until `stop`; times in seconds.

    `reason` is the text of the last crash or failed start, `restarts` counts the starts after the first one.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[Running]],
        *,
        first_pause: float = FIRST_PAUSE,
        longest_pause: float = LONGEST_PAUSE,
        steady_after: float = STEADY_AFTER,
    ) -> None:
        self.state = State.STARTING
        self.current: Running | None = None
        self.reason: str | None = None
        self.restarts = 0
        self._start = start
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._steady_after = steady_after
        self._earlier: deque[str] = deque(maxlen=KEPT_LINES)
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._keep_alive())

    async def wait_ready(self) -> None:
        """Return once it answers; BackendError with the reason when a start fails or it was stopped."""
        while self.state is State.STARTING:
            self._changed.clear()
            await self._changed.wait()
        if self.state is not State.READY:
            raise BackendError(self.reason or "the service was stopped")

    def logs(self, tail: int | None = None) -> list[str]:
        """The last lines over all restarts, oldest first."""
        lines = [*self._earlier, *(self.current.logs() if self.current else [])]
        return lines if tail is None else lines[max(0, len(lines) - tail) :]

    async def stop(self) -> None:
        """End the service and do not start it again; calling it twice is allowed."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._retire()
        self._become(State.STOPPED)

    async def _keep_alive(self) -> None:
        pause = self._first_pause
        while True:
            lived = await self._live_once()
            if lived >= self._steady_after:
                pause = self._first_pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._longest_pause)
            self.restarts += 1
            self._become(State.STARTING)

    async def _live_once(self) -> float:
        """Start and watch to the end; the seconds it lived."""
        began = time.monotonic()
        try:
            self.current = await self._start()
            await self.current.wait_ready()
            self._become(State.READY)
            self.reason = await self._watch(self.current, began)
        except Exception as error:  # whatever a start raises is a reason to show and to try again
            self.reason = str(error) or type(error).__name__
        await self._retire()
        self._become(State.CRASHED)
        return time.monotonic() - began

    async def _watch(self, running: Running, began: float) -> str:
        """Why it cannot go on: it ended, or it is not well any more."""
        ended, ill = asyncio.ensure_future(running.wait_ended()), asyncio.ensure_future(running.wait_unhealthy())
        try:
            await asyncio.wait((ended, ill), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return f"the service ended with exit code {ended.result()} after {time.monotonic() - began:.1f} s"
            return ill.result()
        finally:
            ended.cancel()
            ill.cancel()

    async def _retire(self) -> None:
        """Take the lines of the one that ended and clear it away."""
        if self.current is not None:
            ended, self.current = self.current, None
            await ended.stop()
            self._earlier.extend(ended.logs())

    def _become(self, state: State) -> None:
        self.state = state
        self._changed.set()
