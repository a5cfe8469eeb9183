"""Sandboxes that wait, ready, for somebody who asks for exactly such a one."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agentrun.emulator.backends.base import BackendError, Limits, SandboxSpec
from agentrun.emulator.backends.docker.running import DockerSandbox

MOST_SHAPES = 4


@dataclass(frozen=True)
class Shape:
    """What is fixed when a container is made; the rules of its network are not, whether it has one to use is."""

    environment: tuple[tuple[str, str], ...]
    limits: Limits
    proxied: bool

    @classmethod
    def of(cls, spec: SandboxSpec) -> Shape:
        """The shape of a sandbox without mounts and image."""
        return cls(tuple(sorted(spec.environment.items())), spec.limits, spec.network.mode != "off")

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment."""
        return dict(self.environment)


Make = Callable[[Shape], Awaitable[DockerSandbox]]


class Pool:
    """Keeps `size` sandboxes of each shape that was asked for lately; made one after the other, in the background."""

    def __init__(self, make: Make, size: int) -> None:
        self._make = make
        self._size = size
        self._ready: OrderedDict[Shape, deque[DockerSandbox]] = OrderedDict()
        self._filling: asyncio.Task[None] | None = None
        self._discarding: set[asyncio.Future[None]] = set()
        self._closed = False

    def take(self, shape: Shape) -> DockerSandbox | None:
        """A ready sandbox, None when none waits; from now on some of this shape will."""
        ready = self._ready.setdefault(shape, deque())
        self._ready.move_to_end(shape)
        found = next((sandbox for sandbox in list(ready) if sandbox.alive), None)
        for dead in [sandbox for sandbox in ready if not sandbox.alive]:
            ready.remove(dead)
            self._discard(dead)
        if found:
            ready.remove(found)
        self._refill()
        return found

    def count(self, shape: Shape) -> int:
        """How many wait."""
        return sum(sandbox.alive for sandbox in self._ready.get(shape, ()))

    async def close(self) -> None:
        """End all that wait."""
        self._closed = True
        if self._filling:
            self._filling.cancel()
            await asyncio.wait([self._filling])
        for ready in self._ready.values():
            for sandbox in ready:
                self._discard(sandbox)
        self._ready.clear()
        await asyncio.gather(*self._discarding, return_exceptions=True)

    def _refill(self) -> None:
        while len(self._ready) > MOST_SHAPES:
            _, forgotten = self._ready.popitem(last=False)
            for sandbox in forgotten:
                self._discard(sandbox)
        if self._size and not self._closed and (self._filling is None or self._filling.done()):
            self._filling = asyncio.get_running_loop().create_task(self._fill())

    async def _fill(self) -> None:
        # A failure is told to who asks next, when the sandbox is made at once; then this is tried again.
        with contextlib.suppress(BackendError):
            while shape := self._next_wanted():
                sandbox = await self._make(shape)
                if shape in self._ready:
                    self._ready[shape].append(sandbox)
                else:
                    self._discard(sandbox)

    def _next_wanted(self) -> Shape | None:
        """The shape asked for last of which too few wait."""
        wanted = (shape for shape, ready in reversed(self._ready.items()) if len(ready) < self._size)
        return next(wanted, None)

    def _discard(self, sandbox: DockerSandbox) -> None:
        task = asyncio.ensure_future(sandbox.stop())
        self._discarding.add(task)
        task.add_done_callback(self._discarding.discard)
