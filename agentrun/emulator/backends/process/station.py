"""A station: the launcher and its zygotes behind bubblewrap's walls, and the line on which they are commanded."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from typing import Any

import anyio

from agentrun.emulator.backends.base import BackendError
from agentrun.emulator.backends.process.logs import Log
from agentrun.emulator.guest.broker import Broker, Spawned, pid_of
from agentrun.emulator.guest.errors import Exhausted
from agentrun.emulator.launcher import packets
from agentrun.emulator.launcher.plan import Plan

CHUNK = 65536
STOP_PATIENCE = 5.0
ZYGOTE_SECONDS = 60.0
REASON_LINES = 20


class Station:
    """Forks sandboxes; `command` starts its launcher, which finds its commands on descriptor 0."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._numbers = itertools.count(1)
        self._launched: dict[int, Launched] = {}
        self._zygotes: list[Broker] = []
        self._news = asyncio.Event()
        self._log = Log(None)
        self._line: socket.socket
        self._process: Process
        self._reader: asyncio.Task[None]

    @property
    def alive(self) -> bool:
        """Whether it can start sandboxes."""
        return self._process.returncode is None and self._line.fileno() >= 0

    async def start(self) -> None:
        """Start it; it takes commands at once and obeys them when everything is loaded."""
        self._line, far = packets.pair()
        with far:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=far.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=os.environ.copy(),  # As host.program_environment says; without namespaces it needs all of it.
                start_new_session=True,
            )
        self._line.setblocking(False)
        asyncio.get_running_loop().add_reader(self._line.fileno(), self._on_news)
        self._reader = asyncio.create_task(self._read_output())

    async def launch(self, plan: Plan, descriptors: Sequence[int]) -> Launched:
        """Fork a sandbox; `descriptors` are its listening socket, its lifeline and its cgroups' doors."""
        number = next(self._numbers)
        launched = self._launched[number] = Launched(self, number)
        try:
            await self._send({"start": number, "plan": plan.packed()}, descriptors)
        except BaseException:
            del self._launched[number]
            raise
        return launched

    async def spawn(self, plan: Plan, descriptors: Sequence[int], *, fresh: bool = False) -> Spawned:
        """Have a zygote fork a Python interpreter; `descriptors` are namespaces and cgroups, or cgroups if `fresh`."""
        zygote = await self._ready_zygote()
        try:
            return await zygote.spawn({"plan": plan.packed(), "fresh": fresh}, descriptors)
        except Exhausted as error:
            raise BackendError(str(error)) from error
        except OSError as error:
            raise BackendError(f"the zygote of sandboxes has ended{self._last_lines()}") from error

    async def _ready_zygote(self) -> Broker:
        """The newest; the launcher replaces one that has ended."""
        deadline = time.monotonic() + ZYGOTE_SECONDS
        while time.monotonic() < deadline and self.alive:
            if self._zygotes and self._zygotes[-1].connected:
                return self._zygotes[-1]
            self._news.clear()
            with anyio.move_on_after(ZYGOTE_SECONDS):
                await self._news.wait()
        raise BackendError(f"no zygote for sandboxes has started{self._last_lines()}")

    def kill(self, number: int) -> None:
        """Kill a sandbox; its future tells when it has ended."""
        # A line that is full for a moment would lose it: this message is as small as one can be, and few are under way.
        with contextlib.suppress(OSError):
            packets.send(self._line, {"stop": number})

    async def close(self) -> None:
        """End it and every sandbox it started."""
        self._hang_up()
        with anyio.move_on_after(STOP_PATIENCE) as patience:
            await self._process.wait()
        if patience.cancelled_caught:
            self._process.kill()
            await self._process.wait()
        # Its output ends with the last process that it started.
        await asyncio.wait([self._reader], timeout=STOP_PATIENCE)
        self._reader.cancel()

    async def _send(self, content: dict[str, Any], descriptors: Sequence[int]) -> None:
        while True:
            try:
                packets.send(self._line, content, descriptors)
            except BlockingIOError:
                await asyncio.sleep(0.002)
            except ValueError as error:
                raise BackendError(f"the environment of the sandbox is too large: {error}") from error
            except OSError as error:
                raise BackendError(f"the launcher of sandboxes has ended{self._last_lines()}") from error
            else:
                return

    def _on_news(self) -> None:
        try:
            packet = packets.receive(self._line)
        except BlockingIOError:
            return
        except OSError:
            packet = None
        if packet is None:
            self._hang_up()
        else:
            self._hear(packet)

    def _hear(self, packet: packets.Packet) -> None:
        content = packet.content
        if "zygote" in content:
            self._connect_zygote(socket.socket(fileno=packet.descriptors.pop()))
        elif "ended" in content:
            self._finish(content["ended"], content["code"])
        elif launched := self._launched.get(content["started"]):
            launched.pid = pid_of(packet.descriptors[0]) if packet.descriptors else content["pid"]
        packet.close()

    def _connect_zygote(self, line: socket.socket) -> None:
        """Ask the newest zygote from now on; an earlier one still tells how what it forked has ended."""
        self._zygotes = [*(zygote for zygote in self._zygotes if zygote.connected), Broker(line, remote=True)]
        self._zygotes[-1].open()
        self._news.set()

    def _finish(self, number: int, code: int) -> None:
        launched = self._launched.pop(number, None)
        if launched is not None and not launched.ended.done():
            launched.ended.set_result(code)

    def _hang_up(self) -> None:
        """The launcher's end is the end of all its sandboxes."""
        if self._line.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._line.fileno())
            self._line.close()
        for zygote in self._zygotes:
            zygote.close()
        for number in list(self._launched):
            self._finish(number, -9)

    async def _read_output(self) -> None:
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(CHUNK):
            self._log.feed(data)

    def _last_lines(self) -> str:
        lines = self._log.lines(REASON_LINES)
        return "; last lines:\n" + "\n".join(lines) if lines else ""


class Launched:
    """One sandbox that a station was told to start; `pid` is its first process, once that is known."""

    def __init__(self, station: Station, number: int) -> None:
        self._station = station
        self._number = number
        self.pid: int | None = None
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def kill(self) -> None:
        """Kill every process of it."""
        self._station.kill(self._number)
