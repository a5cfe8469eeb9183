"""Connections of an event loop, kept for reuse.

httpcore's own pool looks at every connection for every other one whenever a request comes or goes, which for a hundred
requests at once takes longer than the requests. Its connections are what this one hands out.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import httpcore
import httpx

from agentrun._core.heads import LoopNetwork

_SCHEMES = (b"http", b"https")


class LoopPool:
    """A connection carries one request at a time, and goes on with the next one to the same server."""

    def __init__(self, trust: ssl.SSLContext, limits: httpx.Limits, network: LoopNetwork | None = None) -> None:
        self._trust = trust
        self._network = network or LoopNetwork()
        self._expiry = limits.keepalive_expiry
        self._most_idle = limits.max_keepalive_connections or 0
        self._room = asyncio.Semaphore(limits.max_connections or 1)
        self._idle: list[_Connection] = []
        self._used: set[_Connection] = set()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; its connection is free again when the answer is closed. Raises httpcore's errors."""
        if request.url.scheme not in _SCHEMES:
            raise httpcore.UnsupportedProtocol(f"there is no {request.url.scheme.decode()!r}, only http and https")
        await self._await_room(_extensions(request).get("timeout", {}).get("pool"))
        connection = None
        try:
            connection = await self._take(request.url.origin)
            response = await connection.line.handle_async_request(request)
        except BaseException:
            self._room.release()
            if connection is not None:
                self._used.discard(connection)
                await connection.line.aclose()
            raise
        body = _Body(response.stream, partial(self._give_back, connection))
        return httpcore.Response(
            response.status, headers=response.headers, content=body, extensions=_extensions(response)
        )

    async def aclose(self) -> None:
        """Close every connection, also those whose answers are not at their end."""
        connections = [*self._idle, *self._used]
        self._idle.clear()
        self._used.clear()
        for connection in connections:
            await connection.line.aclose()

    async def _await_room(self, timeout: float | None) -> None:
        if not self._room.locked():
            await self._room.acquire()  # At once, and without a timer.
            return
        try:
            with anyio.fail_after(timeout):
                await self._room.acquire()
        except TimeoutError as error:
            raise httpcore.PoolTimeout("every connection was in use") from error

    async def _take(self, origin: httpcore.Origin) -> _Connection:
        """The connection to this server that was used last, or a new one."""
        while found := next((kept for kept in reversed(self._idle) if kept.origin == origin), None):
            self._idle.remove(found)
            if not found.line.has_expired():
                break
            await found.line.aclose()
        connection = found or self._made(origin)
        self._used.add(connection)
        return connection

    def _made(self, origin: httpcore.Origin) -> _Connection:
        line = httpcore.AsyncHTTPConnection(
            origin, ssl_context=self._trust, keepalive_expiry=self._expiry, network_backend=self._network
        )
        return _Connection(origin, line)

    async def _give_back(self, connection: _Connection) -> None:
        """Keep a connection whose answer has come to its end, and close any other."""
        self._room.release()
        self._used.discard(connection)
        if not connection.line.is_idle():
            await connection.line.aclose()
            return
        self._idle.append(connection)
        if len(self._idle) > self._most_idle:
            await self._idle.pop(0).line.aclose()


@dataclass(frozen=True, eq=False)
class _Connection:
    origin: httpcore.Origin
    line: httpcore.AsyncHTTPConnection


class _Body:
    """What is left of an answer; to close it gives the connection back."""

    def __init__(self, rest: Any, done: Callable[[], Awaitable[None]]) -> None:
        self._rest = rest
        self._done: Callable[[], Awaitable[None]] | None = done

    def __aiter__(self) -> AsyncIterator[bytes]:
        pieces: AsyncIterator[bytes] = aiter(self._rest)
        return pieces

    async def aclose(self) -> None:
        """Calling it twice is allowed."""
        done, self._done = self._done, None
        if done is not None:
            try:
                await self._rest.aclose()
            finally:
                await done()


def _extensions(message: Any) -> dict[str, Any]:
    # Their type has a hole in httpcore.
    found: dict[str, Any] = message.extensions
    return found
