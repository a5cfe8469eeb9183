"""The time that one call has, through everything it waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from agentrun.errors import Executed, RequestTimeoutError


class Clock:
    """Counts down from `seconds`, beginning when it is made."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self._deadline = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Seconds that are left, 0 when the time is over."""
        return max(self._deadline - time.monotonic(), 0.0)

    @asynccontextmanager
    async def holding(self, lock: asyncio.Lock) -> AsyncGenerator[None, None]:
        """With the lock; raises RequestTimeoutError when others hold it until the time is over."""
        try:
            with anyio.fail_after(self.left):
                await lock.acquire()
        except TimeoutError as error:
            raise RequestTimeoutError(
                f"other calls kept the MCP session busy for {self.seconds:g} s",
                hint="Raise timeout=",
                executed=Executed.NO,
            ) from error
        try:
            yield
        finally:
            lock.release()
