"""One sandbox of the process backend, as the emulator holds it: its namespaces, its interpreters and its agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from agentrun.emulator.backends.base import BackendError, Isolation, NetworkPolicy
from agentrun.emulator.backends.injection.placeholders import Injection
from agentrun.emulator.backends.process.freezing import continue_tree, stop_tree
from agentrun.emulator.backends.process.readiness import fetch
from agentrun.emulator.backends.process.slots import Slot
from agentrun.emulator.backends.process.station import Launched, Station
from agentrun.emulator.guest.broker import Spawned
from agentrun.emulator.guest.interpreter import Worker
from agentrun.emulator.launcher import packets
from agentrun.emulator.launcher.plan import NAMESPACES, Plan
from agentrun.emulator.launcher.walls import SHARED

# A sandbox has a `socket` of its own, and inside the class that name means it.
Socket = socket.socket

BACKLOG = 128
# So many connections of one sandbox lead outside at once; others wait.
MOST_CONNECTIONS = 128
EXHAUSTED_SECONDS = 0.1
MOST_AT_ONCE = 64
KILLED = -9


@dataclass(frozen=True)
class Outside:
    """What a sandbox needs of its backend: to have a connection served, and to be told about and forgotten."""

    serve: Callable[[ProcessSandbox, str, socket.socket], asyncio.Task[None]]
    recheck: Callable[[], None]
    release: Callable[[ProcessSandbox], None]


class ProcessSandbox:
    """A sandbox whose processes a station forks.

    With namespaces it begins as a Python interpreter that waits for code; the agent behind `socket` is started by the
    first connection. Open descriptors of the namespaces keep it and its files, whatever its processes do. Without
    namespaces it is its agent.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        slot: Slot,
        isolation: Isolation,
        policy: NetworkPolicy,
        station: Station,
        plan: Plan,
        outside: Outside,
        injection: Injection | None = None,
    ) -> None:
        self.slot = slot
        self.injection = injection
        self._name = name
        self._path = path
        self._isolation = isolation
        self._policy = policy
        self._station = station
        self._plan = plan
        self._outside = outside
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._listening = _listening(path)
        self._spare: Worker | None = None
        self._interpreters: set[Spawned] = set()
        self._namespaces: list[int] = []
        self._doors: list[tuple[str, Socket]] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._admitting = False
        self._agent: Launched | None = None
        self._lifeline: Socket | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._waking: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._paused = False
        self._stopping = False

    async def begin(self) -> None:
        """Start its first process; BackendError with the reason when that fails."""
        try:
            if self._plan.walls == NAMESPACES:
                await self._begin_with_interpreter()
            else:
                await self._start_agent()
                await asyncio.shield(self._ready)
        except BaseException:
            await self.stop()
            raise

    # As everything that runs

    @property
    def socket(self) -> Path:
        return self._path

    @property
    def isolation(self) -> Isolation:
        return self._isolation

    @property
    def alive(self) -> bool:
        return not self._stopping

    def logs(self, tail: int | None = None) -> list[str]:
        """Nothing: what runs in a sandbox answers over its interface."""
        return []

    async def wait_ready(self) -> None:
        """It is ready once it has begun."""

    async def wait_unhealthy(self) -> str:
        """A sandbox has no health check of its own: it never returns."""
        never: asyncio.Future[str] = self._loop.create_future()
        return await never

    async def wait_ended(self) -> int:
        return await asyncio.shield(self._ended)

    async def pause(self) -> None:
        """Freeze every process of it; BackendError when it has ended."""
        if not self.alive:
            raise BackendError(f"{self._name} does not run")
        self._paused = True
        self._freeze(True)

    async def resume(self) -> None:
        """Let every process of it go on; nothing happens when it was not paused."""
        if self._paused:
            self._freeze(False)
            self._paused = False

    async def stop(self) -> None:
        """Kill all of it and wait until nothing is left; calling it twice is allowed."""
        if not self._stopping:
            self._stopping = True
            await self._end(KILLED)
        await self.wait_ended()

    # As a sandbox

    async def python(self) -> Worker | None:
        """A fresh Python interpreter, past the agent; None when only the agent can give one."""
        spare, self._spare = self._spare, None
        if spare is not None and spare.alive:
            return spare
        if not self._namespaces or len(self._interpreters) >= MOST_AT_ONCE:
            return None
        try:
            spawned = await self._station.spawn(self._plan, [*self._namespaces, *self.slot.doors])
        except BackendError:
            return None  # The agent starts one in its own way, or tells why not.
        self._keep(spawned)
        return spawned.worker

    async def set_network(self, policy: NetworkPolicy) -> None:
        """Change what it may reach; connections under way are judged again."""
        self._policy = policy
        self._outside.recheck()

    def reachable(self) -> NetworkPolicy:
        """What it may reach at the moment."""
        return self._policy

    async def patch(self, target: str) -> str:
        """The changes to a copy-on-write mount, compared inside, where no link leads anywhere else."""
        original = {where: lower for lower, where in self._plan.overlays}.get(target)
        if original is None:
            raise BackendError(f"{target} is not a copy-on-write mount of {self._name}")
        query = urlencode({"path": target, "original": original})
        status, body = await fetch(self._path, f"/filesystem/patch?{query}")
        answer: dict[str, str] = json.loads(body)
        if status != HTTPStatus.OK:
            raise BackendError(f"{self._name} cannot compare {target}: {answer.get('message')}")
        return answer["patch"]

    # Beginning

    async def _begin_with_interpreter(self) -> None:
        spawned = await self._station.spawn(self._plan, self.slot.doors, fresh=True)
        self._keep(spawned)
        self._spare = spawned.worker
        self._namespaces, doors = spawned.more[: len(SHARED)], spawned.more[len(SHARED) :]
        for (_, what), door in zip(self._plan.forwards, doors, strict=True):
            self._doors.append((what, Socket(fileno=door)))
            self._doors[-1][1].setblocking(False)
        self._admit_all()
        self._loop.add_reader(self._listening, self._on_first_connection)

    def _keep(self, spawned: Spawned) -> None:
        self._interpreters.add(spawned)
        spawned.ended.add_done_callback(lambda _: self._interpreters.discard(spawned))

    def _admit_all(self) -> None:
        """Take connections of whoever inside connects to a port that leads outside."""
        if self._admitting or self._stopping:
            return
        self._admitting = True
        for what, door in self._doors:
            self._loop.add_reader(door, self._admit, what, door)

    def _admit_nobody(self) -> None:
        self._admitting = False
        for _, door in self._doors:
            self._loop.remove_reader(door)

    def _admit(self, what: str, door: Socket) -> None:
        try:
            connection, _ = door.accept()
        except BlockingIOError:
            return
        except OSError:
            # The emulator has no descriptor left, and asking again at once would change nothing.
            self._admit_nobody()
            self._loop.call_later(EXHAUSTED_SECONDS, self._admit_all)
            return
        task = self._outside.serve(self, what, connection)
        self._connections.add(task)
        task.add_done_callback(self._on_farewell)
        if len(self._connections) >= MOST_CONNECTIONS:
            self._admit_nobody()

    def _on_farewell(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        if len(self._connections) < MOST_CONNECTIONS:
            self._admit_all()

    def _on_first_connection(self) -> None:
        self._loop.remove_reader(self._listening)
        if self._spare is not None:
            # Who needs the agent has contexts, whose interpreters are the agent's.
            self._spare.close("it was not needed")
            self._spare = None
        self._waking = self._loop.create_task(self._wake())

    async def _wake(self) -> None:
        """Start the agent for whoever has connected; without one they could wait for ever, so the sandbox ends."""
        try:
            await self._start_agent()
        except (BackendError, OSError) as error:
            if not self._ready.done():
                self._hear(str(error))
            if not self._stopping:
                self._stopping = True
                await self._end(KILLED)

    async def _start_agent(self) -> None:
        self._lifeline, far = packets.pair()
        self._lifeline.setblocking(False)
        self._loop.add_reader(self._lifeline, self._on_news)
        with far:
            given = [self._listening.fileno(), far.fileno(), *self._namespaces, *self.slot.doors]
            self._agent = await self._station.launch(self._plan, given)
        self._agent.ended.add_done_callback(self._on_agent_end)

    def _on_news(self) -> None:
        if self._lifeline is None:
            return
        try:
            packet = packets.receive(self._lifeline)
        except (OSError, ValueError):
            packet = None
        if packet is None:
            self._loop.remove_reader(self._lifeline)
            return
        packet.close()
        if not self._ready.done():
            self._hear(packet.content.get("failed"))

    def _hear(self, failure: object) -> None:
        if failure is None:
            self._ready.set_result(None)
        else:
            self._ready.set_exception(BackendError(f"{self._name}: {failure}"))
            self._ready.exception()  # Seen: whoever waits for it gets it all the same.

    # Ending

    def _on_agent_end(self, ended: asyncio.Future[int]) -> None:
        self._on_news()  # Its last words may wait there.
        if not self._ready.done():
            self._hear(f"its agent ended with code {ended.result()} before it answered")
        if not self._stopping:
            self._stopping = True
            self._ending = self._loop.create_task(self._end(ended.result()))

    async def _end(self, code: int) -> None:
        with contextlib.suppress(BackendError, OSError):
            await self.resume()
        if self._waking is not None and self._waking is not asyncio.current_task():
            await asyncio.wait([self._waking])
        interpreters = list(self._interpreters)
        for spawned in interpreters:
            spawned.worker.close("the sandbox has ended")
        endings: list[asyncio.Future[int | None]] = [spawned.ended for spawned in interpreters]
        if self._agent is not None:
            self._agent.kill()
            await asyncio.wait([self._agent.ended])
        if endings:
            await asyncio.wait(endings)
        self._close()
        if not self._ended.done():
            self._ended.set_result(code)

    def _close(self) -> None:
        self._admitting = True  # Nobody is admitted any more.
        for task in self._connections:
            task.cancel()
        for watched in (self._listening, self._lifeline, *(door for _, door in self._doors)):
            if watched is not None and watched.fileno() >= 0:
                self._loop.remove_reader(watched)
                watched.close()
        while self._namespaces:
            os.close(self._namespaces.pop())
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._outside.release(self)

    def _freeze(self, frozen: bool) -> None:
        if self.slot.cgroup.freeze(frozen):
            return
        roots = [spawned.host_pid() for spawned in self._interpreters]
        roots.append(self._agent.pid if self._agent else None)
        for root in filter(None, roots):
            stop_tree(root) if frozen else continue_tree(root)


def _listening(path: Path) -> socket.socket:
    """A unix socket that takes connections at once; whoever connects waits until the inside answers."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen(BACKLOG)
    return sock
