"""The ways to the HTTP server of a sandbox; each ends in a unix socket of the host."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Protocol

from agentrun.emulator.backends.docker.place import Place
from agentrun.emulator.backends.process.readiness import healthy

CHUNK = 65536
HEALTH = "/health"
HEALTH_TIMEOUT = 5.0


class Door(Protocol):
    """The way to one sandbox's server."""

    async def is_open(self) -> bool:
        """Whether the server answers by now."""
        ...

    async def close(self) -> None:
        """Let nobody through any more."""
        ...


class GuestDoor:
    """The socket that the guest server makes in the folder it shares with the host, and the line it lives by.

    That server ends, and its container with it, when the line does: at the latest when the kernel ends this process.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._taken = False
        self._server: asyncio.AbstractServer | None = None
        self._line: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Wait for the server to call; before its container starts, as it is to be the only one who does."""
        self._server = await asyncio.start_unix_server(self._accept, str(self._place.line))
        self._place.line.chmod(0o666)

    async def is_open(self) -> bool:
        self._taken = self._taken or self._place.take_socket()
        return self._taken and await healthy(self._place.socket, HEALTH, HEALTH_TIMEOUT)

    async def close(self) -> None:
        self._stop_listening()
        if self._line:
            self._line.close()

    def _accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._line = writer
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
            self._place.line.unlink(missing_ok=True)


class PortDoor:
    """A socket of ours whose connections lead to a port of the container."""

    def __init__(self, socket: Path, address: str, port: int) -> None:
        self._socket = socket
        self._address = address
        self._port = port
        self._server: asyncio.AbstractServer | None = None
        self._relays: set[asyncio.Task[None]] = set()

    async def is_open(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self._address, self._port)
        except OSError:
            return False
        writer.close()
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._accept, str(self._socket))
        return True

    async def close(self) -> None:
        if self._server:
            self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._relay(reader, writer))
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            inner_reader, inner_writer = await asyncio.open_connection(self._address, self._port)
            with contextlib.closing(inner_writer):
                await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
