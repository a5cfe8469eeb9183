"""Asks targets, and gives their answers piece by piece; the only file of the gateway that opens connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from agentrun._serving.content_encoding import Decoder, decoder
from agentrun._serving.unframed import Unframed
from agentrun._serving.upstream import Connection, Exchange, Headers, Pool, UpstreamError, UpstreamTimeout, head
from agentrun.gateway.plan import Target

# What a caller says that is meant for the model's own server.
_PASSED_ON = frozenset(
    ("accept", "user-agent", "openai-beta", "idempotency-key", "x-request-id", "traceparent", "tracestate")
)

# What is compressed would have to be unpacked to be counted.
_ABOUT_BODY = ((b"content-type", b"application/json"), (b"accept-encoding", b"identity"))


class Wait(NamedTuple):
    """How long to wait, in seconds: for a connection, and for the head of an answer."""

    connect: float
    first: float | None = None


class NotReached(UpstreamError):
    """No connection could be made, so nothing was sent."""

    def __init__(self, error: UpstreamError) -> None:
        super().__init__(str(error))
        self.timed_out = isinstance(error, UpstreamTimeout)


class Reply(Protocol):
    """An answer whose head has come."""

    @property
    def status(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> Headers:
        """The headers, their names in lower case."""
        ...

    def is_complete(self) -> bool:
        """Whether all of it was given."""
        ...

    async def piece(self, seconds: float | None = None) -> bytes:
        """The next part of the body within some seconds, empty after its end. Raises UpstreamError."""
        ...

    def close(self) -> None:
        """Be done with it; what has not come yet is not waited for."""
        ...


class Upstreams(Protocol):
    """What asks targets."""

    async def ask(self, target: Target, operation: str, headers: Headers, body: bytes, wait: Wait) -> Reply:
        """Send a request and wait for the head of its answer.

        Raises UpstreamError, and NotReached when nothing was sent.
        """
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class HTTPReply:
    """An answer that comes over a connection; a compressed one is told as what it was before."""

    def __init__(self, exchange: Exchange, connection: Connection, give_back: Callable[[Connection], None]) -> None:
        fields = dict(exchange.headers)
        self.status = exchange.status
        self.headers = exchange.headers
        self._decoder = decoder(fields.get(b"content-encoding", b""))
        if self._decoder:
            self.headers = [pair for pair in exchange.headers if pair[0] != b"content-encoding"]
        self._unframed: Unframed | None = None
        if exchange.ends_with_connection and not exchange.complete:
            self._unframed = Unframed(fields.get(b"content-type", b""))
        self._exchange = exchange
        self._connection = connection
        self._give_back = give_back

    def is_complete(self) -> bool:
        """Whether all of it was given."""
        return self._exchange.complete and not (self._decoder and self._decoder.has_more)

    async def piece(self, seconds: float | None = None) -> bytes:
        """The next part of the body within some seconds, empty after its end. Raises UpstreamError."""
        piece = await self._decoded(self._decoder, seconds) if self._decoder else await self._raw(seconds)
        if self._unframed:
            self._unframed.feed(piece)
            if self.is_complete() and not self._unframed.looks_whole():
                raise UpstreamError("it closed the connection before the end of its answer")
        return piece

    async def _decoded(self, by: Decoder, seconds: float | None) -> bytes:
        while not (text := by.take()) and not self._exchange.complete:
            by.feed(await self._raw(seconds))
        if self.is_complete() and not by.is_whole:
            raise UpstreamError("its compressed answer has no end")
        return text

    async def _raw(self, seconds: float | None) -> bytes:
        if seconds is None or self._exchange.has_piece:
            return await self._exchange.piece()
        with _Timer(self._exchange, seconds, f"it sent nothing more for {seconds:g} s"):
            return await self._exchange.piece()

    def close(self) -> None:
        """Be done with it; what has not come yet is not waited for."""
        if self._exchange.reusable and self._exchange.complete:
            self._give_back(self._connection)
        else:
            self._connection.abort()


class HTTPUpstreams:
    """Asks targets over HTTP/1.1, on connections that are kept."""

    def __init__(self) -> None:
        self._pool = Pool()

    async def ask(self, target: Target, operation: str, headers: Headers, body: bytes, wait: Wait) -> Reply:
        """Send a request and wait for the head of its answer.

        Raises UpstreamError, and NotReached when nothing was sent.
        """
        about = [*_ABOUT_BODY, (b"content-length", str(len(body)).encode())]
        message = head("POST", f"{target.base_path}/{operation}", [*target.headers, *headers, *about]) + body
        used = self._pool.idle(target.host)
        if used is not None:
            try:
                return await self._answered(target, used, message, wait)
            except _ClosedMeanwhile:
                pass  # A server may close a connection that it was idle on at any time, also now.
        try:
            connection = await self._pool.connect(target.host, wait.connect)
        except UpstreamError as error:
            raise NotReached(error) from error
        return await self._answered(target, connection, message, wait)

    async def _answered(self, target: Target, connection: Connection, message: bytes, wait: Wait) -> HTTPReply:
        exchange = Exchange(connection, without_body=False)
        try:
            connection.write(message)
            await _begun(exchange, wait.first)
        except UpstreamError as error:
            connection.abort()
            if exchange.unanswered:
                raise _ClosedMeanwhile(str(error)) from error
            raise
        except BaseException:
            connection.abort()
            raise
        return HTTPReply(exchange, connection, lambda whole: self._pool.release(target.host, whole))

    def close(self) -> None:
        """Close connections."""
        self._pool.close()


class _ClosedMeanwhile(UpstreamError):
    """The connection was closed before a byte of the answer came, without an error."""


async def _begun(exchange: Exchange, seconds: float | None) -> None:
    if seconds is None:
        await exchange.begin()
    else:
        with _Timer(exchange, seconds, f"it did not begin to answer within {seconds:g} s"):
            await exchange.begin()


class _Timer:
    """Fails an exchange that takes longer than some seconds."""

    def __init__(self, exchange: Exchange, seconds: float, reason: str) -> None:
        self._handle = asyncio.get_running_loop().call_later(seconds, exchange.time_out, reason)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._handle.cancel()


def passed_on(headers: Mapping[str, str]) -> Headers:
    """What a target may see of the headers of a call."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items() if name in _PASSED_ON]
