"""Joining connections: a port of the sandbox's loopback with a service outside, or a caller with a port inside."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from agentrun.emulator.guest.doors import BACKLOG, HOST
from agentrun.emulator.guest.lifeline import Lifeline

Opener = Callable[[], Awaitable[socket.socket]]

LOOPBACK = ((socket.AF_INET, HOST), (socket.AF_INET6, "::1"))


class End(asyncio.Protocol):
    """One end of a joined connection: what arrives goes to the other end, and so do half-close and disconnect."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._peer: End | None = None
        self._early: list[bytes] = []
        self._ended = False
        self._lost = False
        self._tcp: socket.socket | None = None

    def join(self, peer: End) -> None:
        """Let bytes pass both ways from now on."""
        self._peer, peer._peer = peer, self
        for end in (self, peer):
            end._catch_up(end._peer or peer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        self._tcp = None if sock is None or sock.family == socket.AF_UNIX else sock
        if self._peer is None:
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self._peer is None:
            self._early.append(data)
            return
        self._peer.transport.write(data)
        if self._tcp is not None:
            # A program that writes its answer in pieces waits 40 ms for an acknowledgement otherwise.
            with contextlib.suppress(OSError):
                self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def eof_received(self) -> bool:
        self._ended = True
        if self._peer is None:
            return True
        self._peer._finish_writing()
        return not self._peer._ended

    def pause_writing(self) -> None:
        if self._peer is not None:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None and not self._peer._ended:
            self._peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._peer is not None:
            self._peer._close(broken=exc is not None)

    def _catch_up(self, peer: End) -> None:
        if self._lost:
            peer._close(broken=True)
            return
        for data in self._early:
            peer.transport.write(data)
        self._early.clear()
        if self._ended:
            peer._finish_writing()
        else:
            self.transport.resume_reading()

    def _finish_writing(self) -> None:
        if not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def _close(self, *, broken: bool) -> None:
        if broken:
            self.transport.abort()
        else:
            self.transport.close()


class Forward:
    """A port of the loopback, already listened on, whose connections are joined with what the opener gives."""

    def __init__(self, listening: socket.socket, opener: Opener) -> None:
        self._listening = listening
        self._opener = opener
        self._server: asyncio.Server | None = None
        self._joining: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Take its connections from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=self._listening, backlog=BACKLOG)

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    def _accept(self) -> End:
        return _Accepted(self._start)

    def _start(self, end: End) -> None:
        task = asyncio.ensure_future(self._join(end))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _join(self, end: End) -> None:
        try:
            end.join(await _end_of(await self._opener()))
        except OSError:
            end.transport.abort()


class _Accepted(End):
    def __init__(self, start: Callable[[End], None]) -> None:
        super().__init__()
        self._start = start

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._start(self)


def lifeline_opener(lifeline: Lifeline, service: str) -> Opener:
    """Connections to a service of the emulator by way of the lifeline."""
    return lambda: lifeline.connect(service)


def unix_opener(path: str) -> Opener:
    """Connections to a unix socket."""

    async def connect() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        return await _connected(sock, path)

    return connect


async def dial(port: int) -> End:
    """An end that leads to a port of the loopback. Raises OSError when nothing listens there."""
    reason: OSError = OSError("no address")
    for family, host in LOOPBACK:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            return await _end_of(await _connected(sock, (host, port)))
        except OSError as error:
            reason = reason if isinstance(reason, ConnectionRefusedError) else error
    raise reason


async def _connected(sock: socket.socket, address: str | tuple[str, int]) -> socket.socket:
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _end_of(sock: socket.socket) -> End:
    _, end = await asyncio.get_running_loop().create_connection(End, sock=sock)
    return end
