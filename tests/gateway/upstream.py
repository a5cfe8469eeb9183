"""Servers for which threads are too slow or too polite: each in a loop of its own, on raw connections."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from tests.gateway.serving import PATIENCE

T = TypeVar("T")
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Handler = Callable[["Upstream", Reader, Writer], Awaitable[None]]


class Upstream:
    """A server that can be killed and come back on the same port; `sent` and `requests` are for its handler."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.sent = self.requests = self.accepted = 0
        self.writers: set[Writer] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listening: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        if not self._thread.is_alive():
            self._thread.start()
        self._run(self._listen())

    def kill(self) -> None:
        """Stop listening and cut all connections with a reset, as the kernel does for a process that died."""
        self._run(self._die())

    def cut_idle(self) -> None:
        """Close all connections in good order."""
        self._run(self._close_all())

    def stop(self) -> None:
        self._run(self._die())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", self.port))
        self.port = bound.getsockname()[1]
        self._listening = await asyncio.start_server(self._serve, sock=bound, backlog=2048, limit=2**20)

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.accepted += 1
        self.writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self.handler(self, reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self.writers.discard(writer)
            self._tasks.discard(task)

    async def _close_all(self) -> None:
        for writer in self.writers:
            writer.close()

    async def _die(self) -> None:
        if self._listening:
            self._listening.close()
        for writer in list(self.writers):
            connection = writer.get_extra_info("socket")
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def upstream(handler: Handler) -> Generator[Upstream, None, None]:
    server = Upstream(handler)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def read_request(reader: Reader) -> bytes:
    """The body of the next request; raises IncompleteReadError when the client has gone."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return await reader.readexactly(int(value))
    return b""


def always(reply: bytes, pause: float = 0.0) -> Handler:
    """Answers every request with these bytes, after some seconds."""

    async def handle(server: Upstream, reader: Reader, writer: Writer) -> None:
        while True:
            await read_request(reader)
            server.requests += 1
            if pause:
                await asyncio.sleep(pause)
            writer.write(reply)
            await writer.drain()

    return handle
