"""The event loop of a worker process, in which an agent is ready from its first run on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager


class WorkerLoop:
    """An event loop in a thread of its own, on which `running` is entered; it lasts as long as the process."""

    def __init__(self, running: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self._running = running
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        """The loop; raises what goes wrong when the agent is made ready, and tries again next time."""
        with self._starting:
            if self._loop is None:
                ready: Future[asyncio.AbstractEventLoop] = Future()
                thread = threading.Thread(target=self._serve, args=(ready,), name="agentrun-worker", daemon=True)
                thread.start()
                self._loop = ready.result()
            return self._loop

    def _serve(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        try:
            asyncio.run(self._until_the_end(ready))
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _until_the_end(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        async with self._running():
            ready.set_result(asyncio.get_running_loop())
            await asyncio.Event().wait()
