"""Passes a request on to a server on a unix socket and its answer back, as the bytes come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from agentrun._serving.asgi import Message
from agentrun._serving.upstream import Address, Connection, Exchange, Headers, Pool, UpstreamError, head
from agentrun.emulator.http import EMULATOR_HEADER, Request
from agentrun.emulator.wire.envelope import ServiceError

# What belongs to one connection, and what proves who calls: neither is for the server behind. An `expect` was
# answered by our own server already.
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_PRIVATE = frozenset(
    (
        b"agentrun-authorization",
        b"x-acs-content-sha256",
        b"x-acs-date",
        b"x-acs-parent-id",
        b"x-acs-security-token",
    )
)
_NOT_PASSED_ON = HOP_BY_HOP | _PRIVATE
CLIENT_GONE = 499
# Most answers come sooner; only those that do not are worth a task that watches whether the caller is still there.
_WATCH_AFTER_SECONDS = 0.01


class BrokenOffError(Exception):
    """The server behind broke off when its answer had begun; only a cut connection can tell that to the caller."""


class BadGateway(ServiceError):
    """The server behind did not answer (502); `executed` is "no" unless it may have had the request."""

    def __init__(self, what: str, error: UpstreamError, *, sent: bool) -> None:
        self.executed = "unknown" if sent else "no"
        super().__init__(502, "ERR_BAD_GATEWAY", f"{what} does not answer: {error}", executed=self.executed)


def _kept(headers: Headers) -> Headers:
    return [pair for pair in headers if pair[0] not in HOP_BY_HOP]


@dataclass(frozen=True)
class Passage:
    """How a request travels on: to whom, as what, and what becomes of the headers of its answer."""

    what: str
    target: str
    headers: Headers
    answer_headers: Callable[[Headers], Headers] = _kept


class Proxy:
    """The gateway's way to what runs."""

    def __init__(self) -> None:
        self._pool = Pool()

    async def forward(
        self,
        request: Request,
        socket: Path,
        path: str,
        what: str,
        request_id: str,
        query: str | None = None,
        *,
        without: Container[bytes] = (),
    ) -> int:
        """Pass a request on under another path, and query if given, and send back what comes; returns the status.

        `without` are headers that the server behind must not see, in lower case.
        When the caller goes away, the server behind is disconnected at once, and ConnectionAbortedError raised.
        Raises BadGateway when it cannot be reached or breaks off before its answer began, and BrokenOffError when it
        does so later.
        """
        target = with_query(path or "/", request.query_string if query is None else query)
        return await self.pass_on(
            request, socket, Passage(what, target, passed_on(request, request_id, without)), request_id
        )

    async def pass_on(self, request: Request, address: Address, passage: Passage, request_id: str) -> int:
        """Do what `forward` does by a passage of one's own, to a server that may be elsewhere."""
        try:
            connection = await self._pool.acquire(address)
        except UpstreamError as error:
            raise BadGateway(passage.what, error, sent=False) from error
        exchange = await carry(request, connection, passage, request_id)
        if exchange.reusable:
            self._pool.release(address, connection)
        else:
            connection.abort()
        return exchange.status

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


async def carry(request: Request, connection: Connection, passage: Passage, request_id: str) -> Exchange:
    """Send a request over a connection and its answer back; the connection is closed when that fails."""
    exchange = Exchange(connection, without_body=request.method == "HEAD")
    outward = _Outward(request, connection)
    try:
        await outward.begin(passage)
        await exchange.begin()
        await _answer(request, exchange, passage, request_id)
        outward.check()
    except UpstreamError as error:
        connection.abort()
        outward.check()
        if exchange.status:
            raise BrokenOffError(f"{passage.what} broke off: {error}") from error
        raise BadGateway(passage.what, error, sent=True) from error
    except BaseException:
        connection.abort()
        raise
    finally:
        outward.end()
    if not outward.complete:
        # A server may answer before it has read everything; the rest of this request is no beginning of another.
        connection.abort()
    return exchange


class _Outward:
    """The way of the request: sends it, then closes the connection when the caller goes away."""

    def __init__(self, request: Request, connection: Connection) -> None:
        self.complete = False
        self.caller_gone = False
        self._request = request
        self._connection = connection
        self._chunked = "content-length" not in request.headers and "transfer-encoding" in request.headers
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def begin(self, passage: Passage) -> None:
        """Send what is there already; a body that is longer follows while the answer may come."""
        first = await self._request.receive()
        if first["type"] == "http.disconnect":
            raise ConnectionAbortedError("the caller went away before its request was passed on")
        headers = [*passage.headers, (b"transfer-encoding", b"chunked")] if self._chunked else passage.headers
        self._connection.write(head(self._request.method, passage.target, headers) + self._framed(first))
        loop = asyncio.get_running_loop()
        if first.get("more_body", False):
            self._task = loop.create_task(self._follow(first))
        else:
            self.complete = True
            self._timer = loop.call_later(_WATCH_AFTER_SECONDS, self._watch)

    def check(self) -> None:
        """Raise ConnectionAbortedError when the caller is gone: whatever the server did then is no answer."""
        if self.caller_gone:
            raise ConnectionAbortedError("the caller went away before the answer was whole")

    def end(self) -> None:
        """Stop sending and watching."""
        if self._timer:
            self._timer.cancel()
        if self._task:
            self._task.cancel()

    def _watch(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._follow({"type": "http.request"}))

    async def _follow(self, message: Message) -> None:
        while message["type"] != "http.disconnect":
            more = message.get("more_body", False)
            message = await self._request.receive()
            if more and message["type"] == "http.request":
                await self._connection.send(self._framed(message))
                self.complete = not message.get("more_body", False)
        self.caller_gone = True
        self._connection.abort()

    def _framed(self, message: Message) -> bytes:
        """A piece of the request's body as it travels on."""
        piece: bytes = message.get("body", b"")
        if not self._chunked:
            return piece
        end = b"" if message.get("more_body", False) else b"0\r\n\r\n"
        return (b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"") + end


async def _answer(request: Request, exchange: Exchange, passage: Passage, request_id: str) -> None:
    await request.send(_start(exchange, passage, request_id))
    more = True
    while more:
        piece = await exchange.piece()
        more = not exchange.complete
        await request.send({"type": "http.response.body", "body": piece, "more_body": more})


def _start(exchange: Exchange, passage: Passage, request_id: str) -> Message:
    headers = [*passage.answer_headers(exchange.headers), EMULATOR_HEADER]
    if not any(name == b"x-acs-request-id" for name, _ in headers):
        headers.append((b"x-acs-request-id", request_id.encode()))
    return {"type": "http.response.start", "status": exchange.status, "headers": headers}


def with_query(path: str, query: str) -> str:
    """A path with its query, if it has one."""
    return f"{path}?{query}" if query else path


def passed_on(request: Request, request_id: str, without: Container[bytes] = ()) -> Headers:
    """The headers of a request that the server behind may see."""
    given: Headers = request.scope["headers"]
    kept = [pair for pair in given if pair[0] not in _NOT_PASSED_ON and pair[0] not in without and not _is_token(*pair)]
    return [*kept, (b"x-agentrun-request-id", request_id.encode())]


def _is_token(name: bytes, value: bytes) -> bool:
    """Whether a header is the platform's own access token; any other authorization is the agent's business."""
    return name == b"authorization" and value.startswith(b"Bearer at.")
