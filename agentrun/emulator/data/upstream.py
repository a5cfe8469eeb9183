"""A small HTTP client for servers on unix sockets: what the gateway needs, and nothing between the bytes.

Connections are kept and used again; an answer is read as it comes, and not faster than it is taken.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

import httptools

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_PIECE = 256 * 1024
_CONNECT_SECONDS = 5.0
_NO_BODY = (204, 304)


class UpstreamError(Exception):
    """The server cannot be reached, or broke off."""


@dataclass
class _Answer:
    """What the parser has seen of an answer."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    pieces: list[bytes] = field(default_factory=list[bytes])
    began: bool = False
    complete: bool = False
    keep_alive: bool = False


class _Events:
    """The parser's callbacks; an interim answer (1xx) is passed over."""

    def __init__(self) -> None:
        self.answer = _Answer()
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.answer.status = self.parser.get_status_code()
        self.answer.began = self.answer.status >= 200
        self.answer.keep_alive = self.parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self.answer.pieces.append(piece)

    def on_message_complete(self) -> None:
        if self.answer.began:
            self.answer.complete = True
        else:
            self.answer.headers.clear()


class Exchange:
    """One request under way: first its status and headers, then its body, piece by piece."""

    def __init__(self, connection: Connection, *, without_body: bool) -> None:
        self._connection = connection
        self._events = _Events()
        self._without_body = without_body

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self._events.answer.status

    @property
    def headers(self) -> Headers:
        """The headers of the answer, their names in lower case."""
        return self._events.answer.headers

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request."""
        answer = self._events.answer
        return answer.complete and answer.keep_alive

    async def begin(self) -> None:
        """Wait for the head of the answer."""
        while not self._events.answer.began:
            if not await self._read():
                raise UpstreamError("it closed the connection without an answer")
        if self._without_body or self.status in _NO_BODY:
            self._events.answer.complete = True

    async def body(self) -> AsyncIterator[bytes]:
        """The pieces of the body as they come."""
        answer = self._events.answer
        while True:
            if answer.pieces:
                pieces = b"".join(answer.pieces)
                answer.pieces.clear()
                yield pieces
            if answer.complete:
                return
            if not await self._read():
                if self._ends_with_connection():
                    return
                raise UpstreamError("it closed the connection in the middle of its answer")

    def _ends_with_connection(self) -> bool:
        names = {name for name, _ in self.headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    async def _read(self) -> bool:
        try:
            data = await self._connection.reader.read(_PIECE)
            if data:
                self._events.parser.feed_data(data)
        except (OSError, httptools.HttpParserError) as error:
            raise UpstreamError(str(error) or type(error).__name__) from error
        return bool(data)


class Connection(asyncio.StreamReaderProtocol):
    """A connection to a server; it tells its pool when it is lost."""

    def __init__(self, pool: Pool, path: Path) -> None:
        self.reader = asyncio.StreamReader(limit=_PIECE)
        super().__init__(self.reader)
        self._pool = pool
        self.path = path
        self.transport: asyncio.Transport
        self.writer: asyncio.StreamWriter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what writes."""
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio's
        self.writer = asyncio.StreamWriter(self.transport, self, self.reader, asyncio.get_running_loop())

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the pool."""
        self._pool.lost(self)
        super().connection_lost(exc)

    async def send(self, data: bytes) -> None:
        """Write, not faster than it is read."""
        self.writer.write(data)
        await self.writer.drain()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()


class Pool:
    """Connections to many servers, by the paths of their sockets."""

    def __init__(self) -> None:
        self._idle: defaultdict[Path, list[Connection]] = defaultdict(list)

    async def acquire(self, path: Path) -> Connection:
        """A connection that nobody uses, made if there is none. Raises UpstreamError."""
        while idle := self._idle.get(path):
            connection = idle.pop()
            if not connection.transport.is_closing():
                return connection
        loop = asyncio.get_running_loop()
        try:
            connecting = loop.create_unix_connection(lambda: Connection(self, path), str(path))
            _, connection = await asyncio.wait_for(connecting, _CONNECT_SECONDS)
        except (OSError, asyncio.TimeoutError) as error:
            raise UpstreamError(f"it cannot be reached ({error})") from error
        return connection

    def release(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        self._idle[connection.path].append(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        idle = self._idle.get(connection.path)
        if idle and connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(connection.path, None)

    def close(self) -> None:
        """Close all connections that nobody uses."""
        for connection in [connection for idle in self._idle.values() for connection in idle]:
            connection.abort()


def head(method: str, target: str, headers: Headers) -> bytes:
    """The first bytes of a request."""
    lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode("latin-1"), target.encode("latin-1"), lines)
