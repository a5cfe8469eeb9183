"""A request in one piece: its head waits for the body, which is one system call and one packet less for each request.

httpcore writes the head, the body and the end, which is mostly empty, one after the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from contextvars import ContextVar
from typing import Any, cast

import httpcore
import httpx


class Head:
    """The head of the request under way, while it waits."""

    def __init__(self) -> None:
        self._bytes: bytes | None = None
        self._sent = False

    def joined(self, piece: bytes) -> bytes:
        """What is to be written now: nothing when this is the head, and the head with it when it is what follows."""
        if self._sent:
            return piece
        if self._bytes is None:
            self._bytes = piece
            return b""
        self._sent = True
        return self._bytes + piece


_under_way: ContextVar[Head | None] = ContextVar("_under_way", default=None)


@contextlib.contextmanager
def waiting(request: httpx.Request) -> Generator[None]:
    """While this lasts the request is sent; a body that has still to be made is not waited for."""
    token = _under_way.set(Head() if isinstance(request.stream, httpx.ByteStream) else None)
    try:
        yield
    finally:
        _under_way.reset(token)


def joined(piece: bytes) -> bytes:
    """What is to be written now of the request under way."""
    head = _under_way.get()
    return piece if head is None else head.joined(piece)


class _LoopConnection(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if piece := joined(buffer):
            await self._stream.write(piece, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _LoopConnection(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class LoopNetwork(httpcore.AsyncNetworkBackend):
    """Connections of an event loop that write requests in one piece."""

    def __init__(self) -> None:
        # For type checkers its name stands for anything, because httpcore can do without anyio.
        self._network = cast("httpcore.AsyncNetworkBackend", cast("Any", httpcore).AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect."""
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _LoopConnection(stream)
