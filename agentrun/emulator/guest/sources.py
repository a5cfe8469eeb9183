"""Where fresh Python interpreters come from: started here, or forked from one that has everything loaded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from typing import Protocol

from agentrun.emulator.guest.broker import Broker
from agentrun.emulator.guest.errors import Exhausted
from agentrun.emulator.guest.interpreter import Wires, Worker
from agentrun.emulator.guest.replies import PYTHON_LINES, Dialect
from agentrun.emulator.guest.workers import python

PYTHON_WORKER = python.__name__
ENVIRONMENT = {**python.ENVIRONMENT, "PS1": "", "PS2": "", "HISTFILE": ""}
SPARE_DELAY = 0.5
MOST_WANTED = 24


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
    worker = await Worker.connect(process.pid, asyncio.ensure_future(_end_of(process)), near, dialect)
    worker.warm_up(first)
    return worker


async def _end_of(process: asyncio.subprocess.Process) -> int | None:
    return await process.wait()


class ExecSource:
    """Starts each interpreter, and keeps one ready, because starting one takes longer than most executions.

    So many start at once as there are processors: more would not come up sooner, but all take memory.
    """

    def __init__(self) -> None:
        self._spare: Worker | None = None
        self._refill: asyncio.Task[None] | None = None
        self._turn = asyncio.Semaphore(max(2, os.cpu_count() or 1))
        self._wanted = 0

    async def open(self) -> None:
        """Start the one that is kept ready."""
        await self._fill()

    async def python(self, cwd: str) -> Worker:
        """The one that was kept ready, else a new one. Raises Exhausted when too many wait for one."""
        spare, self._spare = self._spare, None
        self._refill = self._refill or asyncio.create_task(self._fill(SPARE_DELAY))
        if spare is not None and await _answers(spare):
            spare.change_directory(cwd)
            return spare
        return await self._start(cwd)

    def close(self) -> None:
        """End the one that is kept ready."""
        if self._refill is not None:
            self._refill.cancel()
        if self._spare is not None:
            self._spare.close("the sandbox ends")

    async def _start(self, cwd: str) -> Worker:
        if self._wanted >= MOST_WANTED:
            raise Exhausted(f"{MOST_WANTED} interpreters are being started already: try again in a second")
        self._wanted += 1
        try:
            async with self._turn:
                return await _come_up(cwd)
        finally:
            self._wanted -= 1

    async def _fill(self, delay: float = 0.0) -> None:
        await asyncio.sleep(delay)
        if self._spare is None:
            self._spare = await _start_python(os.sep)
        self._refill = None


async def _answers(worker: Worker) -> bool:
    """Whether it is there: code that runs beside it may have just killed it, which is learnt a moment later."""
    await worker.ready()
    worker.warm_up("")
    await worker.ready()
    if not worker.alive:
        worker.close("it was ended by others")
    return worker.alive


async def _come_up(cwd: str) -> Worker:
    """An interpreter that has loaded what it needs."""
    worker = await _start_python(cwd)
    try:
        await worker.ready()
    except BaseException:
        worker.close("nobody waits for it")
        raise
    return worker


async def _start_python(cwd: str) -> Worker:
    return await start([sys.executable, "-m", PYTHON_WORKER], cwd, PYTHON_LINES)


class BrokerSource:
    """Has interpreters forked from one that has everything loaded; without its broker it starts them as ExecSource."""

    def __init__(self, broker: socket.socket) -> None:
        self._broker = Broker(broker)
        self._fallback = ExecSource()

    async def open(self) -> None:
        """Listen to the broker."""
        self._broker.open()

    async def python(self, cwd: str) -> Worker:
        """A fork of the broker's. Raises Exhausted with its reason when it has none."""
        if self._broker.connected:
            with contextlib.suppress(OSError):
                return (await self._broker.spawn({"cwd": cwd})).worker
            self._broker.close()
        return await self._fallback.python(cwd)

    def close(self) -> None:
        """Let go of the broker."""
        self._broker.close()
        self._fallback.close()
