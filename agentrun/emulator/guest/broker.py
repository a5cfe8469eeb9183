"""The line to a broker, which forks Python interpreters that have everything loaded already."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrun.emulator.guest.errors import Exhausted
from agentrun.emulator.guest.interpreter import Ended, SendSignal, Wires, Worker
from agentrun.emulator.guest.replies import JSON_LINES

LARGEST_PACKET = 128 * 1024
DESCRIPTORS = 3


@dataclass
class _Asked:
    """An interpreter that was asked for: who waits for it, and how its end will be told."""

    answer: asyncio.Future[Worker]
    ended: Ended


class Broker:
    """Asks for interpreters on a socket that keeps packets apart; without one, or when it is gone, there are none.

    What it forks runs in the asker's own sandbox, or where the asker says. With `remote` the asker cannot signal what
    was forked, and asks the broker to do so.
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

    async def spawn(self, cwd: str, where: Mapping[str, Any] | None = None) -> Worker:
        """A fresh interpreter. Raises Exhausted with the broker's reason, OSError when the broker is gone."""
        if self._connection is None:
            raise ConnectionResetError("the broker is gone")
        number, loop = next(self._numbers), asyncio.get_running_loop()
        asked = self._asked[number] = _Asked(loop.create_future(), loop.create_future())
        self._send({"spawn": number, "cwd": cwd, **(where or {})})
        return await asked.answer

    def close(self) -> None:
        """Let go of it; what it has forked is known to end by its control socket."""
        if self._connection is not None:
            asyncio.get_running_loop().remove_reader(self._connection)
            self._connection.close()
            self._connection = None
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_exception(ConnectionResetError("the broker is gone"))
                asked.answer.exception()  # Seen: whoever waits for it gets it all the same.
        self._asked.clear()

    def _send(self, content: Mapping[str, Any]) -> None:
        if self._connection is not None:
            self._connection.send(json.dumps(content).encode())

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
            asked = self._asked.pop(message["ended"], None)
            if asked is not None and not asked.ended.done():
                asked.ended.set_result(message["code"])
            return
        asked = self._asked.get(message["spawn"])
        if asked is None or asked.answer.done():
            for descriptor in descriptors:
                os.close(descriptor)
        elif "pid" in message:
            self._connect(message["spawn"], asked, message["pid"], descriptors)
        else:
            del self._asked[message["spawn"]]
            reason = f"no Python interpreter could be started: {message['error']}"
            asked.answer.set_exception(Exhausted(reason))

    def _connect(self, number: int, asked: _Asked, pid: int, descriptors: list[int]) -> None:
        control, stdout, stderr = descriptors
        wires = Wires(socket.socket(fileno=control), stdout, stderr)
        connecting = asyncio.ensure_future(self._hand_over(number, asked, pid, wires))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    async def _hand_over(self, number: int, asked: _Asked, pid: int, wires: Wires) -> None:
        worker = await Worker.connect(pid, asked.ended, wires, JSON_LINES, self._signal_of(number))
        if asked.answer.done():
            worker.close("nobody waits for it")
        else:
            asked.answer.set_result(worker)

    def _signal_of(self, number: int) -> SendSignal | None:
        if not self._remote:
            return None
        return lambda kind: self._send({"signal": number, "name": kind.name})
