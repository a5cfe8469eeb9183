"""A backend that comes up while the emulator already answers: to probe a machine takes longer than to start."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from agentrun.emulator.backends.base import (
    Backend,
    BackendError,
    Isolation,
    Running,
    RunningSandbox,
    SandboxSpec,
    ServiceSpec,
)


class DeferredBackend:
    """Stands in for the backend that `pick` will give; whoever needs it waits for it, and gets its failure."""

    name = "deferred"

    def __init__(self, pick: Callable[[], Coroutine[Any, Any, Backend]]) -> None:
        self._pick = pick
        self._picked: asyncio.Task[Backend] | None = None

    @property
    def _backend(self) -> Backend | None:
        picked = self._picked
        done = picked is not None and picked.done() and not picked.cancelled() and not picked.exception()
        return picked.result() if picked is not None and done else None

    @property
    def isolation(self) -> Isolation:
        """Not known while the backend comes up; ask the one that `ready` gives."""
        return self._backend.isolation if self._backend else Isolation("unknown")

    @property
    def capabilities(self) -> frozenset[str]:
        """Nothing is known while the backend comes up; ask the one that `ready` gives."""
        return self._backend.capabilities if self._backend else frozenset()

    async def start(self) -> None:
        """Begin to bring the backend up."""
        self._picked = asyncio.get_running_loop().create_task(self._pick())
        # A failure is told to whoever asks for something; here it only must not be reported as never looked at.
        self._picked.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def ready(self) -> Backend:
        """The backend itself; raises BackendError with the fix when the machine cannot isolate."""
        if self._picked is None:
            raise BackendError("the emulator has not started")
        return await asyncio.shield(self._picked)

    async def warm(self) -> None:
        """Begin to load what sandboxes need; a backend that fails is told to whoever starts one."""
        with contextlib.suppress(BackendError):
            await (await self.ready()).warm()

    async def start_sandbox(self, spec: SandboxSpec) -> RunningSandbox:
        """Start a sandbox."""
        return await (await self.ready()).start_sandbox(spec)

    async def start_service(self, spec: ServiceSpec) -> Running:
        """Start a service."""
        return await (await self.ready()).start_service(spec)

    async def close(self) -> None:
        """End everything that was started."""
        if self._picked is None:
            return
        if not self._picked.done():
            self._picked.cancel()
        with contextlib.suppress(asyncio.CancelledError, BackendError):
            await (await self._picked).close()
