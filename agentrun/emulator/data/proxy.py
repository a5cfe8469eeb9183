"""Passes a request on to a server on a unix socket and its answer back, as the bytes come."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agentrun.emulator.data.upstream import Connection, Exchange, Headers, Pool, UpstreamError, head
from agentrun.emulator.http import Message, Request
from agentrun.emulator.wire.envelope import ServiceError

# What belongs to one connection, and what proves who calls: neither is for the server behind. An `expect` was
# answered by our own server already.
_HOP_BY_HOP = frozenset(
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
_PRIVATE = frozenset((b"agentrun-authorization", b"x-acs-security-token", b"x-acs-date", b"x-acs-content-sha256"))
CLIENT_GONE = 499


class BrokenOffError(Exception):
    """The server behind broke off when its answer had begun; only a cut connection can tell that to the caller."""


def bad_gateway(what: str, error: UpstreamError) -> ServiceError:
    """The server behind did not answer (502)."""
    return ServiceError(502, "ERR_BAD_GATEWAY", f"{what} does not answer: {error}")


class Proxy:
    """The gateway's way to what runs."""

    def __init__(self) -> None:
        self._pool = Pool()

    async def forward(self, request: Request, socket: Path, path: str, what: str, request_id: str) -> int:
        """Pass a request on under another path and send back what comes; returns the status.

        When the caller goes away, the server behind is disconnected at once. Raises ServiceError (502) when it cannot
        be reached or breaks off before its answer began, and BrokenOffError when it does so later.
        """
        try:
            connection = await self._pool.acquire(socket)
        except UpstreamError as error:
            raise bad_gateway(what, error) from error
        try:
            return await self._exchange(request, connection, path, what, request_id)
        except BaseException:
            connection.abort()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    async def _exchange(self, request: Request, connection: Connection, path: str, what: str, request_id: str) -> int:
        target = f"{path or '/'}?{request.query_string}" if request.query_string else path or "/"
        exchange = Exchange(connection, without_body=request.method == "HEAD")
        first = await request.receive()
        more: bool = first.get("more_body", False)
        lead = head(request.method, target, _headers(request, request_id, chunked=_is_chunked(request)))
        watch = asyncio.ensure_future(self._watch(request, connection, lead + _framed(request, first), more))
        watch.add_done_callback(_seen)
        try:
            await exchange.begin()
            await self._answer(request, exchange, request_id)
        except UpstreamError as error:
            return self._broken(watch, exchange, what, error)
        finally:
            watch.cancel()
        if exchange.reusable and request.received.is_set():
            self._pool.release(connection)
        else:
            connection.abort()
        return exchange.status

    def _broken(self, watch: asyncio.Task[None], exchange: Exchange, what: str, error: UpstreamError) -> int:
        if watch.done() and not watch.cancelled() and watch.exception() is None:
            return CLIENT_GONE
        if exchange.status >= 200:
            raise BrokenOffError(f"{what} broke off: {error}") from error
        raise bad_gateway(what, error) from error

    async def _watch(self, request: Request, connection: Connection, lead: bytes, more: bool) -> None:
        """Send the request, then wait until the caller goes away, and tell the server behind by closing."""
        await connection.send(lead)
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                connection.abort()
                return
            more = message.get("more_body", False)
            await connection.send(_framed(request, message))
        request.received.set()
        while (await request.receive())["type"] != "http.disconnect":
            pass
        connection.abort()

    async def _answer(self, request: Request, exchange: Exchange, request_id: str) -> None:
        await request.send(_start(exchange, request_id))
        async for piece in exchange.body():
            await request.send({"type": "http.response.body", "body": piece, "more_body": True})
        await request.send({"type": "http.response.body", "body": b""})


def _seen(watch: asyncio.Task[None]) -> None:
    # A server may answer before it has read everything, and close: the answer counts, not what could not be sent.
    if not watch.cancelled():
        watch.exception()


def _is_chunked(request: Request) -> bool:
    return "content-length" not in request.headers and "transfer-encoding" in request.headers


def _framed(request: Request, message: Message) -> bytes:
    """A piece of the request's body as it travels on."""
    piece: bytes = message.get("body", b"")
    if not _is_chunked(request):
        return piece
    end = b"" if message.get("more_body", False) else b"0\r\n\r\n"
    return (b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"") + end


def _headers(request: Request, request_id: str, *, chunked: bool) -> Headers:
    given: Headers = request.scope["headers"]
    kept = [pair for pair in given if pair[0] not in _HOP_BY_HOP and pair[0] not in _PRIVATE and not _is_token(*pair)]
    framing = [(b"transfer-encoding", b"chunked")] if chunked else []
    return [*kept, *framing, (b"x-agentrun-request-id", request_id.encode())]


def _is_token(name: bytes, value: bytes) -> bool:
    """Whether a header is the platform's own access token; any other authorization is the agent's business."""
    return name == b"authorization" and value.startswith(b"Bearer at.")


def _start(exchange: Exchange, request_id: str) -> Message:
    headers = [(name, value) for name, value in exchange.headers if name not in _HOP_BY_HOP]
    if not any(name == b"x-acs-request-id" for name, _ in headers):
        headers.append((b"x-acs-request-id", request_id.encode()))
    return {"type": "http.response.start", "status": exchange.status, "headers": headers}
