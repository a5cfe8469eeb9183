"""A way to the emulator that needs no port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx


class SocketTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Reaches the emulator without a port, over its unix socket, in both modes."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._sync = httpx.HTTPTransport(uds=self._path)
        self._loops: dict[asyncio.AbstractEventLoop, httpx.AsyncHTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and wait in place."""
        return self._sync.handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request on the running event loop."""
        loop = asyncio.get_running_loop()
        transport = self._loops.get(loop)
        if transport is None:
            transport = self._loops[loop] = httpx.AsyncHTTPTransport(uds=self._path)
        return await transport.handle_async_request(request)

    def close(self) -> None:
        """Close the connections of synchronous calls."""
        self._sync.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        transport = self._loops.pop(asyncio.get_running_loop(), None)
        if transport is not None:
            await transport.aclose()
