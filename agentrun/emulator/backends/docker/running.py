"""One container that runs as a sandbox: its log, its readiness and its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentrun.emulator.backends.base import BackendError, Isolation, Mount, NetworkPolicy
from agentrun.emulator.backends.docker import changes
from agentrun.emulator.backends.docker.doors import Door
from agentrun.emulator.backends.docker.engine import Engine, NotFound
from agentrun.emulator.backends.docker.exits import Exit
from agentrun.emulator.backends.docker.freezer import Freezer
from agentrun.emulator.backends.docker.output import Output, attach
from agentrun.emulator.backends.docker.place import Place
from agentrun.emulator.backends.process.logs import Log

START_TIMEOUT = 60.0
POLL = 0.005
REASON_LINES = 20
KILLED = 137


class DockerSandbox:
    """A container; `release` is called once, in a thread, when nothing of it is left to run."""

    def __init__(
        self,
        engine: Engine,
        container: str,
        name: str,
        *,
        place: Place,
        isolation: Isolation,
        output: Output,
        door: Door,
        way_out: Exit,
        freezer: Freezer | None,
        mounts: tuple[Mount, ...] = (),
        release: Callable[[], None],
    ) -> None:
        self.container = container
        self.name = name
        self._engine = engine
        self._place = place
        self._isolation = isolation
        self._door = door
        self._exit = way_out
        self._freezer = freezer
        self._mounts = mounts
        self._release = release
        self._paused = False
        self._out_of_memory = False
        self._log = Log()
        self._ended = asyncio.ensure_future(self._watch(output))
        self._stopped: asyncio.Future[None] | None = None

    @property
    def socket(self) -> Path:
        return self._place.socket

    @property
    def isolation(self) -> Isolation:
        return self._isolation

    @property
    def alive(self) -> bool:
        return not self._ended.done()

    def logs(self, tail: int | None = None) -> list[str]:
        return self._log.lines(tail)

    async def wait_ready(self) -> None:
        """Return once it answers; BackendError with the exit code or the deadline and its last lines when not."""
        deadline = time.monotonic() + START_TIMEOUT
        while not await self._door.is_open():
            if self._ended.done():
                raise BackendError(f"{self.name} {self._death()} before answering{self._last_lines()}")
            if time.monotonic() > deadline:
                raise BackendError(f"{self.name} did not answer within {START_TIMEOUT:g} s{self._last_lines()}")
            await asyncio.sleep(POLL)

    async def wait_unhealthy(self) -> str:
        """Never returns: a sandbox has no health check but its life."""
        await asyncio.Event().wait()
        return ""

    async def wait_ended(self) -> int:
        return await asyncio.shield(self._ended)

    async def pause(self) -> None:
        """Freeze every process of it; BackendError when it has ended."""
        if not self.alive:
            raise BackendError(f"{self.name} does not run")
        self._paused = True
        if self._freezer:
            await self._freezer.set(True)
        else:
            await self._engine.run(lambda: self._engine.pause(self.container))

    async def resume(self) -> None:
        """Let every process of it go on; nothing happens when it was not paused."""
        if not self._paused:
            return
        if self._freezer:
            await self._freezer.set(False)
        else:
            await self._engine.run(lambda: self._engine.resume(self.container))
        self._paused = False

    async def python(self) -> None:
        """None: only what runs in the container can start an interpreter there."""

    async def set_network(self, policy: NetworkPolicy) -> None:
        """Change what it may reach, also for connections that are open."""
        await self._exit.allow(policy)

    async def patch(self, target: str) -> str:
        """The changes to a copy-on-write mount as a unified diff; BackendError when there is no such mount."""
        writable = {mount.target: number for number, mount in enumerate(self._mounts) if mount.copy_on_write}
        if target not in writable:
            raise BackendError(f"{target} is no copy-on-write mount of {self.name}")
        source, upper = self._mounts[writable[target]].source, self._place.layer(writable[target], "upper")
        return await self._engine.run(lambda: changes.describe(source, upper))

    async def rename(self, name: str) -> None:
        """Show under which id it was handed out; the name in the engine is only for people."""
        with contextlib.suppress(BackendError):
            await self._engine.run(lambda: self._engine.rename(self.container, name))

    async def stop(self) -> None:
        """End every process of it and remove the container with all folders; a second call waits for the first."""
        if self._stopped is None:
            self._stopped = asyncio.ensure_future(self._end())
        await asyncio.shield(self._stopped)

    async def _end(self) -> None:
        with contextlib.suppress(BackendError):
            await self.resume()
        try:
            await self._engine.run(lambda: self._engine.remove(self.container))
        finally:
            await self._door.close()
            await self._exit.close()
            await self._engine.run(self._release)
            await self._ended

    async def _watch(self, output: Output) -> int:
        """Keep what it writes until it has ended; returns its exit code."""
        while True:
            await output.read_all(self._log.feed)
            try:
                state = (await self._engine.run(lambda: self._engine.inspect(self.container)))["State"]
                # The stream ends too when the engine itself is replaced under containers that live on.
                if not state["Running"]:
                    break
                output = await attach(self._engine.path, self.container)
            except NotFound:
                return self._note_end({"ExitCode": KILLED})
            except BackendError as error:
                self._log.feed(f"{error}\n".encode())
                return self._note_end({"ExitCode": KILLED})
        return self._note_end(state)

    def _note_end(self, state: dict[str, Any]) -> int:
        self._out_of_memory = bool(state.get("OOMKilled"))
        self._log.close()
        return int(state["ExitCode"])

    def _death(self) -> str:
        reason = ", out of memory" if self._out_of_memory else ""
        return f"exited with code {self._ended.result()}{reason}"

    def _last_lines(self) -> str:
        lines = self.logs(REASON_LINES)
        return "; last lines:\n" + "\n".join(lines) if lines else "; it wrote nothing"
