"""A small HTTP client for the servers behind us: what gateways need, and nothing between the bytes.

Connections are kept and used again; an answer is read as it comes, and not faster than it is taken.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TypeAlias, cast

import anyio
import httptools

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_MOST_BUFFERED = 256 * 1024
# What may come without a byte of the body among it: a head, interim answers, trailers.
_MOST_OVERHEAD = 64 * 1024
# Servers close idle connections sooner or later; those that were not used for so long are not worth the risk.
_OLDEST_IDLE_SECONDS = 30.0
_MOST_IDLE = 256
_CONNECT_SECONDS = 5.0
_NO_BODY = (204, 304)
_NO_ANSWER = "it closed the connection without an answer"
_HALF_AN_ANSWER = "it closed the connection in the middle of its answer"


class UpstreamError(Exception):
    """The server cannot be reached, or broke off."""


class UpstreamTimeout(UpstreamError):
    """The server took longer than it was given."""


@dataclass(frozen=True)
class Host:
    """A server on the network."""

    name: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


Address: TypeAlias = Path | Host
"""Where a server is: the path of a unix socket, or a host."""


class _Waiter:
    """Lets one coroutine sleep until something has changed."""

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        self._future = asyncio.get_running_loop().create_future()
        await self._future

    def wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class Connection(asyncio.Protocol):
    """A connection to a server, with one exchange at a time."""

    def __init__(self, on_lost: Callable[[Connection], None] | None = None) -> None:
        self.transport: asyncio.Transport
        self.closed = False
        self.idle_since = 0.0
        self._on_lost = on_lost
        self._exchange: Exchange | None = None
        self._paused = False
        self._writable = _Waiter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what writes."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self.closed = True
        self._writable.wake()
        if self._exchange:
            self._exchange.lost(exc)
        if self._on_lost:
            self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        """Hand on what came; a server that speaks unasked is not to be trusted with another request."""
        if self._exchange:
            self._exchange.received(data)
        else:
            self.abort()

    def pause_writing(self) -> None:
        """The server does not read as fast as we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """The server reads again."""
        self._paused = False
        self._writable.wake()

    def attach(self, exchange: Exchange | None) -> None:
        """Let an exchange have what comes from now on."""
        self._exchange = exchange

    def write(self, data: bytes) -> None:
        """Write without waiting."""
        self.transport.write(data)

    async def send(self, data: bytes) -> None:
        """Write, not faster than it is read; what goes to a lost connection is passed over."""
        self.transport.write(data)
        while self._paused and not self.closed:
            await self._writable.wait()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()


class _Answer:
    """What the parser has seen of an answer; an interim one (1xx) is passed over."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.buffered = 0
        self.began = False
        self.complete = False
        self.keep_alive = False
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        if self.complete:
            raise UpstreamError("it answers twice")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.began:  # Later ones are trailers, which nobody reads.
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()
        self.began = self.status >= 200
        self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.buffered += len(piece)

    def on_message_complete(self) -> None:
        if self.began:
            self.complete = True
        else:
            self.headers.clear()

    def take(self) -> bytes:
        """The part of the body that was not taken yet."""
        body = b"".join(self.pieces)
        self.pieces.clear()
        self.buffered = 0
        return body


class Exchange:
    """One request under way: first the answer's status and headers, then its body, piece by piece."""

    def __init__(self, connection: Connection, *, without_body: bool) -> None:
        self._connection = connection
        self._without_body = without_body
        self._answer = _Answer()
        self._failure: str | None = None
        self._broke = False
        self._heard = False
        self._overhead = 0
        self._given_up = False
        self._changed = _Waiter()
        self._held = False
        if connection.closed:
            self._failure = _NO_ANSWER
        connection.attach(self)

    @property
    def status(self) -> int:
        """The status of the answer, 0 before it began."""
        return self._answer.status if self._answer.began else 0

    @property
    def headers(self) -> Headers:
        """The headers of the answer, their names in lower case."""
        return self._answer.headers

    @property
    def complete(self) -> bool:
        """Whether nothing of the answer is to come any more, and all of it was taken."""
        return self._answer.complete and not self._answer.pieces

    @property
    def has_piece(self) -> bool:
        """Whether `piece` would answer at once."""
        return bool(self._answer.pieces) or self._answer.complete

    @property
    def unanswered(self) -> bool:
        """Whether the server closed the connection without a byte, as one does that was idle on it for long."""
        return self._failure is not None and not self._heard and not self._given_up

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request.

        After an unforeseen error (500) servers close it without having announced that: uvicorn does. A server that
        answers before it has read the whole request may never read the rest.
        """
        kept = self._answer.keep_alive and self.status != HTTPStatus.INTERNAL_SERVER_ERROR
        transport = self._connection.transport
        return self._answer.complete and kept and not transport.is_closing() and not transport.get_write_buffer_size()

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection tells the end of the answer."""
        names = {name for name, _ in self.headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    async def begin(self) -> None:
        """Wait for the head of the answer. Raises UpstreamError."""
        while not self._answer.began:
            if self._failure is not None:
                raise self._error()
            await self._changed.wait()
        if self._without_body or self.status in _NO_BODY:
            self._answer.complete = True

    async def piece(self) -> bytes:
        """The next part of the body, empty after its end. Raises UpstreamError when the end does not come."""
        while not self._answer.pieces and not self._answer.complete:
            if self._failure is None:
                await self._changed.wait()
            elif not self._broke and self.ends_with_connection:
                self._answer.complete = True
            else:
                raise self._error()
        return self._taken()

    def time_out(self, reason: str) -> None:
        """Give up: whoever waits gets UpstreamTimeout with this reason, and the connection is closed."""
        self._failure = self._failure or reason
        self._broke = self._given_up = True
        self._connection.abort()
        self._changed.wake()

    # For the connection

    def received(self, data: bytes) -> None:
        """Parse what came; reading pauses while too much of it was not taken."""
        self._heard = True
        before = self._answer.buffered
        try:
            self._answer.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(f"its answer is not HTTP ({error})")
        else:
            self._bound(len(data), with_body=self._answer.buffered > before)
            self._hold_back()
        self._changed.wake()

    def lost(self, error: Exception | None) -> None:
        """The connection is no more."""
        if self._failure is None:
            self._broke = error is not None
            plain = _HALF_AN_ANSWER if self._answer.began else _NO_ANSWER
            self._failure = f"{plain} ({error})" if error else plain
        self._changed.wake()

    def _refuse(self, reason: str) -> None:
        if self._failure is None:
            self._failure, self._broke = reason, True
        self._connection.abort()

    def _bound(self, size: int, *, with_body: bool) -> None:
        self._overhead = 0 if with_body else self._overhead + size
        if self._overhead > _MOST_OVERHEAD:
            self._refuse(f"its answer has more than {_MOST_OVERHEAD // 1024} KiB of headers")

    def _error(self) -> UpstreamError:
        return (UpstreamTimeout if self._given_up else UpstreamError)(self._failure)

    def _hold_back(self) -> None:
        if self._answer.buffered > _MOST_BUFFERED and not self._held:
            self._held = True
            self._connection.transport.pause_reading()

    def _taken(self) -> bytes:
        if self._held and not self._connection.closed:
            self._held = False
            self._connection.transport.resume_reading()
        return self._answer.take()


class Pool:
    """Connections to many servers, by their addresses; of those that nobody uses, only so many and not for long."""

    def __init__(self) -> None:
        self._closed = False
        self._idle: defaultdict[Address, list[Connection]] = defaultdict(list)

    async def acquire(self, address: Address, seconds: float = _CONNECT_SECONDS) -> Connection:
        """A connection that nobody uses, made within `seconds` if there is none. Raises UpstreamError."""
        return self.idle(address) or await self.connect(address, seconds)

    def idle(self, address: Address) -> Connection | None:
        """A connection that was used before and is open still, None when there is none."""
        while idle := self._idle.get(address):
            connection = idle.pop()
            if connection.transport.is_closing():
                continue
            if _is_fresh(connection):
                return connection
            connection.abort()
        return None

    async def connect(self, address: Address, seconds: float = _CONNECT_SECONDS) -> Connection:
        """A new connection. Raises UpstreamError."""
        try:
            # Before Python 3.12 asyncio.wait_for loses a cancellation that comes together with the connection.
            with anyio.fail_after(seconds):
                return await self._connected(address)
        except TimeoutError as error:
            raise UpstreamTimeout(f"it cannot be reached within {seconds:g} s") from error
        except (OSError, UnicodeError) as error:  # a name that is none is found out by encoding it
            raise UpstreamError(f"it cannot be reached ({error})") from error

    def release(self, address: Address, connection: Connection) -> None:
        """Keep a connection for the next request."""
        connection.attach(None)
        if self._closed:
            connection.abort()
            return
        idle = self._idle[address]
        connection.idle_since = asyncio.get_running_loop().time()
        idle.append(connection)
        while len(idle) > _MOST_IDLE or not _is_fresh(idle[0]):
            idle.pop(0).abort()

    def close(self) -> None:
        """Close all connections that nobody uses, and the others once they are released."""
        self._closed = True
        for connection in [connection for idle in self._idle.values() for connection in idle]:
            connection.abort()

    async def _connected(self, address: Address) -> Connection:
        loop = asyncio.get_running_loop()

        def made() -> Connection:
            return Connection(lambda lost: self._lost(address, lost))

        if isinstance(address, Path):
            return (await loop.create_unix_connection(made, str(address)))[1]
        tls = self._tls if address.tls else None
        return (await loop.create_connection(made, address.name, address.port, ssl=tls))[1]

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def _lost(self, address: Address, connection: Connection) -> None:
        idle = self._idle.get(address)
        if idle and connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(address, None)


def _is_fresh(idle: Connection) -> bool:
    return asyncio.get_running_loop().time() - idle.idle_since <= _OLDEST_IDLE_SECONDS


async def adopt(connected: socket.socket) -> Connection:
    """A connection over a socket that is connected already; it belongs to no pool."""
    _, connection = await asyncio.get_running_loop().create_unix_connection(Connection, sock=connected)
    return connection


def head(method: str, target: str, headers: Headers) -> bytes:
    """The first bytes of a request."""
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode("latin-1"), target.encode("latin-1"), lines)
