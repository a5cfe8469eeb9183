"""A server that runs inside a sandbox, as seen from outside."""

from __future__ import annotations

from collections.abc import Mapping

from agentrun.sandbox.calls import SandboxCalls


class SandboxPort:
    """One port of a sandbox: its URL, and the headers that every request to it needs.

    Any HTTP client can be used: `httpx.get(port.url("/x"), headers=port.headers("GET", "/x"))`.
    """

    def __init__(self, calls: SandboxCalls, port: int) -> None:
        self._calls = calls
        self.port = port

    def __repr__(self) -> str:
        return f"SandboxPort({self.url()!r})"

    def url(self, path: str = "", query: Mapping[str, str] | None = None) -> str:
        """The URL of a path of the server inside."""
        return self._calls.url(self._calls.inside(f"/ports/{self.port}/{path.lstrip('/')}"), query)

    def websocket_url(self, path: str = "", query: Mapping[str, str] | None = None) -> str:
        """The URL of a websocket of the server inside; the handshake is a signed GET."""
        scheme, _, rest = self.url(path, query).partition("://")
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}"

    def headers(self, method: str = "GET", path: str = "", query: Mapping[str, str] | None = None) -> dict[str, str]:
        """The signature for one request, good for about fifteen minutes, and the headers of the Config."""
        return self._calls.headers(method, self.url(path, query))
