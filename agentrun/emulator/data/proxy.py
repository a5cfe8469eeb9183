"""Passes a request on to a server on a unix socket and its answer back, as the bytes come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from agentrun.emulator.http import Message, Request
from agentrun.emulator.wire.envelope import ServiceError

# What belongs to one connection, and what proves who calls: neither is for the server behind.
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade")
)
_PRIVATE = frozenset(("agentrun-authorization", "x-acs-security-token", "x-acs-date", "x-acs-content-sha256"))
_CONNECT_SECONDS = 5.0


class Gone(ServiceError):
    """The server behind does not answer any more."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(502, "ERR_BAD_GATEWAY", f"{what} broke the connection: {reason}")


class Proxy:
    """Keeps connections to servers on unix sockets."""

    def __init__(self) -> None:
        self._clients: dict[Path, httpx.AsyncClient] = {}

    async def forward(self, request: Request, socket: Path, path: str, what: str, request_id: str) -> int:
        """Pass a request on under another path and send back what comes; returns the status.

        When the caller goes away, the server behind is disconnected at once. Raises ServiceError (502) when it cannot
        be reached or breaks off before its answer began.
        """
        work = asyncio.ensure_future(self._exchange(request, socket, path, what, request_id))
        watch = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
            return await work
        except asyncio.CancelledError:
            if not watch.done():
                raise
            return 499
        finally:
            watch.cancel()
            work.cancel()

    async def forget(self, socket: Path) -> None:
        """Close the connections to a server that is gone."""
        client = self._clients.pop(socket, None)
        if client is not None:
            await client.aclose()

    async def close(self) -> None:
        """Close all connections."""
        for socket in list(self._clients):
            await self.forget(socket)

    def _client(self, socket: Path) -> httpx.AsyncClient:
        client = self._clients.get(socket)
        if client is None:
            transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=httpx.Limits(max_connections=None))
            timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
            client = self._clients[socket] = httpx.AsyncClient(transport=transport, timeout=timeout)
        return client

    async def _exchange(self, request: Request, socket: Path, path: str, what: str, request_id: str) -> int:
        started = False
        try:
            async with self._client(socket).stream(
                request.method, _target(request, path), headers=_headers(request, request_id), content=_content(request)
            ) as answer:
                await request.send(_head(answer, request_id))
                started = True
                async for chunk in answer.aiter_raw():
                    await request.send({"type": "http.response.body", "body": chunk, "more_body": True})
                await request.send({"type": "http.response.body", "body": b""})
                return answer.status_code
        except httpx.HTTPError as error:
            if started:
                # The status is out already; a cut connection is the only way left to say that the answer is not whole.
                raise ConnectionAbortedError(f"{what} broke off: {error}") from error
            raise Gone(what, str(error) or type(error).__name__) from error


def _target(request: Request, path: str) -> str:
    query = f"?{request.query_string}" if request.query_string else ""
    return f"http://agent{path or '/'}{query}"


def _headers(request: Request, request_id: str) -> list[tuple[str, str]]:
    kept = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in request.scope["headers"]
        if name.decode("latin-1") not in _HOP_BY_HOP and name.decode("latin-1") not in _PRIVATE
    ]
    return [*kept, ("x-agentrun-request-id", request_id)]


def _content(request: Request) -> AsyncIterator[bytes] | None:
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    return _chunks(request) if has_body and request.headers.get("content-length") != "0" else None


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await request.receive()
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk
    request.received.set()


async def _disconnected(request: Request) -> None:
    """Return when the caller has gone away; its body must have been read before anyone can tell."""
    if _content(request) is not None:
        await request.received.wait()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return


def _head(answer: httpx.Response, request_id: str) -> Message:
    headers = [(name, value) for name, value in answer.headers.raw if name.lower().decode("latin-1") not in _HOP_BY_HOP]
    if "x-acs-request-id" not in answer.headers:
        headers.append((b"x-acs-request-id", request_id.encode()))
    return {"type": "http.response.start", "status": answer.status_code, "headers": headers}
