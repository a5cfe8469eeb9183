"""A way to one emulator that no environment has to prepare: over its unix socket, or trusting its certificates."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

from agentrun._core.transports import Network


class EmulatorTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Reaches one emulator in both modes: without a port through `socket`, or by TLS with the bundle at `trust`."""

    def __init__(self, *, socket: Path | None = None, trust: Path | None = None) -> None:
        path = str(socket) if socket else None
        verify = ssl.create_default_context(cafile=str(trust)) if trust else ssl.create_default_context()
        self._network = Network(
            lambda _: httpx.HTTPTransport(uds=path, verify=verify),
            lambda _: httpx.AsyncHTTPTransport(uds=path, verify=verify),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and wait in place."""
        return self._network.exchange_in_place(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request on the running event loop."""
        return await self._network.exchange_awaited(request)

    def close(self) -> None:
        """Close the connections of synchronous calls."""
        self._network.close_in_place()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._network.close_loop()
