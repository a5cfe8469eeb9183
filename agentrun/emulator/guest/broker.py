"""The line to a broker, which forks Python interpreters that have everything loaded already."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrun.emulator.guest.errors import Exhausted
from agentrun.emulator.guest.interpreter import NUDGE_SECONDS, Ended, SendSignal, Wires, Worker, how_it_ended
from agentrun.emulator.guest.replies import PYTHON_LINES

LARGEST_PACKET = 128 * 1024
DESCRIPTORS = 16
RETRY = 0.002


@dataclass(frozen=True, eq=False)
class Spawned:
    """An interpreter, how its end is told, and what else its broker has sent along; whoever takes that closes it."""

    worker: Worker
    ended: Ended
    more: list[int]
    process: int | None = None

    def host_pid(self) -> int | None:
        """Its process id here, when it is in another namespace; None when it has ended."""
        if self.process is None or self.ended.done():
            return None
        return pid_of(self.process)


@dataclass
class _Asked:
    """An interpreter that was asked for: who waits for it, how its end will be told, and how to kill it at any rate.

    It is `born` once it has answered; after that it is the worker that tells what becomes of it.
    """

    answer: asyncio.Future[Spawned]
    ended: Ended
    born: bool = False
    process: int | None = None

    def end(self, code: int | None) -> None:
        if not self.born and not self.answer.done():
            self.answer.set_exception(_refusal(f"it {how_it_ended(code)} before it could answer"))
        if not self.ended.done():
            self.ended.set_result(code)
        if self.process is not None:
            os.close(self.process)
            self.process = None

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.process, signal.SIGKILL)


class Broker:
    """Asks for interpreters on a socket that keeps packets apart; without one, or when it is gone, there are none.

    With `remote` what is forked is in another process id namespace: the broker sends a descriptor of each process, and
    signals it when it is asked to. What such an interpreter says is bounded, because others wait for who listens to it.
    """

    def __init__(self, connection: socket.socket, *, remote: bool = False) -> None:
        connection.setblocking(False)
        self._connection: socket.socket | None = connection
        self._remote = remote
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        """Whether it can be asked."""
        return self._connection is not None

    def open(self) -> None:
        """Listen to it."""
        if self._connection is not None:
            asyncio.get_running_loop().add_reader(self._connection, self._receive)

    async def spawn(self, wish: Mapping[str, Any], descriptors: Sequence[int] = ()) -> Spawned:
        """A fresh interpreter. Raises Exhausted with the broker's reason, OSError when the broker is gone."""
        number, loop = next(self._numbers), asyncio.get_running_loop()
        asked = self._asked[number] = _Asked(loop.create_future(), loop.create_future())
        try:
            await self._send({"spawn": number, **wish}, descriptors)
            return await self._answer_to(number, asked)
        except BaseException:
            asked.answer.cancel()  # Whatever still comes is given up.
            raise

    def close(self) -> None:
        """Let go of it; what it has forked for somebody outside would have nobody to end it, and ends now."""
        if self._connection is not None:
            asyncio.get_running_loop().remove_reader(self._connection)
            self._connection.close()
            self._connection = None
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_exception(ConnectionResetError("the broker is gone"))
                asked.answer.exception()  # Seen: whoever waits for it gets it all the same.
            if self._remote:
                asked.kill()
                asked.end(None)
        self._asked.clear()

    async def _answer_to(self, number: int, asked: _Asked) -> Spawned:
        """Code that runs beside it, as the same user, may stop what was just forked, which then would never answer."""
        while not asked.answer.done():
            await asyncio.wait([asked.answer], timeout=NUDGE_SECONDS)
            if not (asked.born or asked.answer.done() or self._remote):
                self._tell({"continue": number})
        return asked.answer.result()

    async def _send(self, content: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        data = json.dumps(content, separators=(",", ":")).encode()
        while True:
            if self._connection is None:
                raise ConnectionResetError("the broker is gone")
            with contextlib.suppress(BlockingIOError):
                socket.send_fds(self._connection, [data], list(descriptors))
                return
            await asyncio.sleep(RETRY)

    def _receive(self) -> None:
        if self._connection is None:
            return
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._connection, LARGEST_PACKET, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if data:
            self._take(json.loads(data), descriptors)
        else:
            self.close()

    def _take(self, message: Mapping[str, Any], descriptors: list[int]) -> None:
        if "ended" in message:
            if asked := self._asked.pop(message["ended"], None):
                asked.end(message["code"])
            return
        number = message["spawn"]
        asked = self._asked.get(number)
        if asked is None:
            _close(descriptors)
        elif "pid" in message:
            self._connect(number, asked, message["pid"], descriptors)
        else:
            del self._asked[number]
            if not asked.answer.done():
                asked.answer.set_exception(_refusal(message["error"]))

    def _connect(self, number: int, asked: _Asked, pid: int, descriptors: list[int]) -> None:
        asked.born = True
        control, stdout, stderr, *more = descriptors
        if self._remote:
            asked.process, *more = more
        wires = Wires(socket.socket(fileno=control), stdout, stderr)
        connecting = asyncio.ensure_future(self._hand_over(number, asked, pid, wires, more))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    async def _hand_over(self, number: int, asked: _Asked, pid: int, wires: Wires, more: list[int]) -> None:
        worker = await Worker.connect(pid, asked.ended, wires, PYTHON_LINES, self._signal_of(number))
        if asked.answer.done():
            worker.close("nobody waits for it")
            _close(more)
        else:
            asked.answer.set_result(Spawned(worker, asked.ended, more, asked.process))

    def _signal_of(self, number: int) -> SendSignal | None:
        return (lambda kind: self._signal(number, kind)) if self._remote else None

    def _signal(self, number: int, kind: signal.Signals) -> None:
        asked = self._asked.get(number)
        if asked is not None and kind is signal.SIGKILL:
            asked.kill()  # It is the first process of its namespace, so everything in there ends.
        elif asked is not None:
            self._tell({"signal": number, "name": kind.name})

    def _tell(self, content: Mapping[str, Any]) -> None:
        """Tell it what nothing depends on: a line that is full for a moment loses it."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(json.dumps(content).encode())


def pid_of(process: int) -> int | None:
    """The process id, as this process knows it, behind a pidfd; None when the process has ended."""
    for line in Path(f"/proc/self/fdinfo/{process}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pid" and int(value) > 0:
            return int(value)
    return None


def _refusal(reason: str) -> Exhausted:
    return Exhausted(f"no Python interpreter could be started: {reason}")


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
