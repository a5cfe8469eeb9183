"""One sandbox of the process backend, as the emulator holds it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

from agentrun.emulator.backends.base import BackendError, Isolation, NetworkPolicy, NotCapable
from agentrun.emulator.backends.process import bubblewrap
from agentrun.emulator.backends.process.freezing import continue_tree, stop_tree
from agentrun.emulator.backends.process.slots import Slot
from agentrun.emulator.backends.process.station import Launched
from agentrun.emulator.guest.interpreter import Worker
from agentrun.emulator.launcher import packets

START_SECONDS = 60.0
MOST_CONNECTIONS = 256


class ProcessSandbox:
    """A sandbox whose processes a station forked; it lives as long as its lifeline."""

    def __init__(
        self,
        name: str,
        path: Path,
        slot: Slot,
        isolation: Isolation,
        policy: NetworkPolicy,
        launched: Launched,
        lifeline: socket.socket,
        serve: Callable[[ProcessSandbox, str, socket.socket], None],
        release: Callable[[ProcessSandbox], None],
        recheck: Callable[[], None],
        walled: bool,
    ) -> None:
        self._name = name
        self._path = path
        self.slot = slot
        self._isolation = isolation
        self._policy = policy
        self._launched = launched
        self._lifeline = lifeline
        self._serve = serve
        self._release = release
        self._recheck = recheck
        self._walled = walled
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._paused = False
        lifeline.setblocking(False)
        self._loop.add_reader(lifeline.fileno(), self._on_news)
        launched.ended.add_done_callback(self._on_end)

    @property
    def socket(self) -> Path:
        return self._path

    @property
    def isolation(self) -> Isolation:
        return self._isolation

    @property
    def alive(self) -> bool:
        return not self._launched.ended.done()

    def logs(self, tail: int | None = None) -> list[str]:
        """Nothing: what runs in a sandbox answers over its interface."""
        return []

    async def wait_ready(self) -> None:
        """Return once it serves; BackendError with the reason when it cannot."""
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), START_SECONDS)
        except asyncio.TimeoutError:
            raise BackendError(f"{self._name} did not answer within {START_SECONDS:g} s") from None

    async def wait_unhealthy(self) -> str:
        """A sandbox has no health check of its own: it never returns."""
        never: asyncio.Future[str] = self._loop.create_future()
        return await never

    async def wait_ended(self) -> int:
        return await asyncio.shield(self._launched.ended)

    async def pause(self) -> None:
        """Freeze every process of it; BackendError when it has ended."""
        self._paused = True
        self._freeze(True)

    async def resume(self) -> None:
        """Let every process of it go on; nothing happens when it was not paused."""
        if self._paused:
            self._freeze(False)
            self._paused = False

    async def python(self) -> Worker | None:
        """A fresh Python interpreter, past the agent; None when only the agent can give one."""
        return await self._launched.python(bubblewrap.HOME) if self._walled else None

    async def set_network(self, policy: NetworkPolicy) -> None:
        """Change what it may reach; connections under way are judged again."""
        self._policy = policy
        self._recheck()

    def reachable(self) -> NetworkPolicy:
        """What it may reach at the moment."""
        return self._policy

    async def patch(self, target: str) -> str:
        raise NotCapable(f"{target} is not a copy-on-write mount")

    async def stop(self) -> None:
        """Kill all of it and wait until nothing is left."""
        with contextlib.suppress(BackendError):
            await self.resume()
        if self.alive:
            self._launched.kill()
        await self.wait_ended()

    def _freeze(self, frozen: bool) -> None:
        root = self._launched.pid
        if not self.alive or root is None:
            raise BackendError(f"{self._name} does not run")
        if not self.slot.cgroup.freeze(frozen):
            stop_tree(root) if frozen else continue_tree(root)

    def _on_news(self) -> None:
        while True:
            try:
                packet = packets.receive(self._lifeline)
            except BlockingIOError:
                return
            except (OSError, ValueError):
                packet = None
            if packet is None:
                self._loop.remove_reader(self._lifeline.fileno())
                return
            self._hear(packet)

    def _hear(self, packet: packets.Packet) -> None:
        content = packet.content
        if content.get("ready") and not self._ready.done():
            self._ready.set_result(None)
        elif "failed" in content and not self._ready.done():
            self._fail(str(content["failed"]))
        elif "connect" in content and packet.descriptors:
            self._serve(self, str(content["connect"]), socket.socket(fileno=packet.descriptors.pop()))
        packet.close()

    def _fail(self, reason: str) -> None:
        self._ready.set_exception(BackendError(f"{self._name}: {reason}"))
        self._ready.exception()  # Seen: whoever waits for it gets it all the same.

    def _on_end(self, ended: asyncio.Future[int]) -> None:
        self._on_news()  # Its last words may wait there.
        if not self._ready.done():
            self._fail(f"it ended with code {ended.result()} before it answered")
        with contextlib.suppress(OSError):
            self._loop.remove_reader(self._lifeline.fileno())
        self._lifeline.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._release(self)
