"""Lets one piece of code do something while the others wait for it, in both modes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from agentrun._core.blocking import is_blocking


class OneAtATime:
    """A turn for threads that call synchronously, and one for each event loop: a loop must not wait for a thread."""

    def __init__(self) -> None:
        self._threads = threading.Lock()
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    @asynccontextmanager
    async def __call__(self) -> AsyncGenerator[None, None]:
        """Wait for the turn, and have it while the block lasts."""
        if is_blocking():
            with self._threads:
                yield
        else:
            async with self._of_loop():
                yield

    def _of_loop(self) -> asyncio.Lock:
        with _registering:
            return self._loops.setdefault(asyncio.get_running_loop(), asyncio.Lock())


# Held only while a loop's lock is looked up, so nobody waits for it.
_registering = threading.Lock()
