"""Where fresh Python interpreters come from: started here, or forked from one that has everything loaded."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agentrun.emulator.guest.errors import Exhausted
from agentrun.emulator.guest.interpreter import Ended, Wires, Worker
from agentrun.emulator.guest.replies import JSON_LINES, Dialect
from agentrun.emulator.guest.workers import python

PYTHON_WORKER = python.__name__
ENVIRONMENT = {**python.ENVIRONMENT, "PS1": "", "PS2": "", "HISTFILE": ""}
SPARE_DELAY = 0.5
LARGEST_PACKET = 128 * 1024


class Sources(Protocol):
    """Where fresh interpreters come from."""

    async def open(self) -> None:
        """Get ready for the first request."""
        ...

    async def python(self, cwd: str) -> Worker:
        """One fresh Python interpreter that works in the folder."""
        ...

    def close(self) -> None:
        """End what waits to be asked for."""
        ...


async def start(command: Sequence[str], cwd: str, dialect: Dialect, first: str = "") -> Worker:
    """Start a program as an interpreter, with the control socket as its stdin; it may still be coming up afterwards.

    `first` is code that it executes before anything else.
    """
    near, far = Wires.make()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=far.control.fileno(),
            stdout=far.stdout,
            stderr=far.stderr,
            cwd=cwd,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
    except BaseException:
        near.close()
        raise
    finally:
        far.close()
    ended: Ended = asyncio.ensure_future(process.wait())
    worker = await Worker.connect(process.pid, ended, near, dialect)
    worker.warm_up(first)
    return worker


class ExecSource:
    """Starts each interpreter, and keeps one ready, because starting one takes longer than most executions."""

    def __init__(self) -> None:
        self._spare: Worker | None = None
        self._refill: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the one that is kept ready."""
        await self._fill()

    async def python(self, cwd: str) -> Worker:
        """The one that was kept ready, else a new one."""
        spare, self._spare = self._spare, None
        self._refill = self._refill or asyncio.create_task(self._fill(SPARE_DELAY))
        if spare is None or not spare.alive:
            return await start([sys.executable, "-m", PYTHON_WORKER], cwd, JSON_LINES)
        spare.change_directory(cwd)
        return spare

    def close(self) -> None:
        """End the one that is kept ready."""
        if self._refill is not None:
            self._refill.cancel()
        if self._spare is not None:
            self._spare.close("the sandbox ends")

    async def _fill(self, delay: float = 0.0) -> None:
        await asyncio.sleep(delay)
        if self._spare is None:
            self._spare = await start([sys.executable, "-m", PYTHON_WORKER], os.sep, JSON_LINES)
        self._refill = None


class BrokerSource:
    """Asks a broker, over a socket that keeps packets apart, to fork a process that has everything loaded.

    When the broker is gone it starts interpreters as ExecSource does.
    """

    def __init__(self, broker: socket.socket) -> None:
        self._broker: socket.socket | None = broker
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Worker]] = {}
        self._ended: dict[int, Ended] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._fallback = ExecSource()

    async def open(self) -> None:
        """Listen to the broker."""
        if self._broker is not None:
            self._broker.setblocking(False)
            asyncio.get_running_loop().add_reader(self._broker, self._receive)

    async def python(self, cwd: str) -> Worker:
        """A fork of the broker's. Raises Exhausted with its reason when it has none."""
        if self._broker is not None:
            try:
                return await self._ask(self._broker, cwd)
            except OSError:
                self._hang_up()
        return await self._fallback.python(cwd)

    def close(self) -> None:
        """Let go of the broker."""
        self._hang_up()
        self._fallback.close()

    async def _ask(self, broker: socket.socket, cwd: str) -> Worker:
        number, loop = next(self._numbers), asyncio.get_running_loop()
        answer: asyncio.Future[Worker] = loop.create_future()
        self._asked[number], self._ended[number] = answer, loop.create_future()
        broker.send(json.dumps({"spawn": number, "cwd": cwd}).encode())
        return await answer

    def _receive(self) -> None:
        if self._broker is None:
            return
        try:
            data, descriptors, _, _ = socket.recv_fds(self._broker, LARGEST_PACKET, 3, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if data:
            self._take(json.loads(data), descriptors)
        else:
            self._hang_up()

    def _take(self, message: Mapping[str, Any], descriptors: list[int]) -> None:
        if "ended" in message:
            self._take_end(message["ended"], message["code"])
        elif "pid" in message:
            self._take_worker(message["spawn"], message["pid"], descriptors)
        else:
            self._refuse(message["spawn"], Exhausted(f"no Python interpreter could be started: {message['error']}"))

    def _take_end(self, number: int, code: int) -> None:
        ended = self._ended.pop(number, None)
        if ended is not None:
            ended.set_result(code)

    def _take_worker(self, number: int, pid: int, descriptors: list[int]) -> None:
        control, stdout, stderr = descriptors
        wires = Wires(socket.socket(fileno=control), stdout, stderr)
        connecting = asyncio.ensure_future(self._connect(number, pid, wires, self._ended[number]))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    async def _connect(self, number: int, pid: int, wires: Wires, ended: Ended) -> None:
        worker = await Worker.connect(pid, ended, wires, JSON_LINES)
        answer = self._asked.pop(number, None)
        if answer is None or answer.done():
            worker.close("nobody waits for it")
        else:
            answer.set_result(worker)

    def _refuse(self, number: int, error: Exception) -> None:
        self._ended.pop(number, None)
        answer = self._asked.pop(number, None)
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _hang_up(self) -> None:
        """Go on without a broker; what it has forked is known to end by its control socket."""
        if self._broker is not None:
            asyncio.get_running_loop().remove_reader(self._broker)
            self._broker.close()
            self._broker = None
        for number in list(self._asked):
            self._refuse(number, ConnectionResetError("the broker is gone"))
