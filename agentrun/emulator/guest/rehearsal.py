"""A make-believe life of a sandbox, played before the fork that makes real ones.

Python specialises code while it runs and fills caches at first uses. What has run before the fork is there in every
child; what has not is paid for by each of them, in time and in copied memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket

from agentrun.emulator.guest import serving
from agentrun.emulator.guest.children import AgentLoop
from agentrun.emulator.guest.doors import listen_inside
from agentrun.emulator.guest.interpreter import Wires, Worker
from agentrun.emulator.guest.paths import home
from agentrun.emulator.guest.replies import JSON_LINES

TIMES = 12
NOBODY = 2**22 + 1  # no process has this id, so to kill it does nothing
BODY = json.dumps({"code": "1+1", "timeout": 30, "language": "python"}).encode()
REQUEST = (
    b"POST /contexts/execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\naccept: */*\r\n"
    b"x-agentrun-request-id: 0\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
REPLY = json.dumps({"result": {"text/plain": "2"}, "error": None}).encode() + b"\n"


class Understudies:
    """A source of interpreters that know one answer, and are no processes."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []

    async def open(self) -> None:
        """Nothing has to be ready."""

    async def python(self, cwd: str) -> Worker:
        """An interpreter that answers everything with 2."""
        near, far = Wires.make()
        os.close(far.stdout)
        os.close(far.stderr)
        loop = asyncio.get_running_loop()
        await loop.create_connection(_Understudy, sock=far.control)
        worker = await Worker.connect(NOBODY, loop.create_future(), near, JSON_LINES)
        self._workers.append(worker)
        return worker

    def close(self) -> None:
        """Close them all."""
        for worker in self._workers:
            worker.close("the rehearsal is over")


class _Understudy(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(REPLY)


def rehearse() -> None:
    """Play some lives, and leave no thread, no descriptor and no state."""
    if not home().is_dir():
        os.environ["HOME"] = os.sep  # Nothing can be executed in a folder that is not there.
    for _ in range(TIMES):
        loop = AgentLoop()
        try:
            loop.run_until_complete(_life(loop))
        finally:
            loop.close()


async def _life(loop: AgentLoop) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with near:
        listening.bind("")  # the kernel chooses an abstract name
        listening.listen()
        agent = asyncio.ensure_future(
            serving.Agent(listening, Understudies(), far, [(listen_inside(0), "egress")]).run(loop)
        )
        reader, writer = await asyncio.open_unix_connection(listening.getsockname())
        for _ in range(2):
            writer.write(REQUEST)
            await reader.readuntil(b"endOfExecution")
        writer.close()
    await agent
    far.close()
    await asyncio.sleep(0)  # connections close in the loop's next turn
