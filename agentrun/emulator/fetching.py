"""Small answers of servers elsewhere, such as key sets and tokens: asked for whole, within a time and a size."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import anyio

from agentrun._serving.upstream import Connection, Exchange, Host, Pool, UpstreamError, head

_MOST_BYTES = 2**20
_SECONDS = 10.0


class FetchError(Exception):
    """There is no whole answer; the text says why, without the path and query of the URL."""


class Fetcher:
    """Asks servers by http and https; redirects are not followed, because they lead to who was not named."""

    def __init__(self) -> None:
        self._pool = Pool()

    async def get(self, url: str, seconds: float = _SECONDS) -> tuple[int, bytes]:
        """The status and the body of what a URL gives. Raises FetchError."""
        return await self._fetch("GET", url, {"accept": "application/json"}, b"", seconds)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer to a POST. Raises FetchError."""
        return await self._fetch("POST", url, headers, body, _SECONDS)

    def close(self) -> None:
        """Close connections."""
        self._pool.close()

    async def _fetch(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> tuple[int, bytes]:
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        host = Host(parts.hostname or "", parts.port or (443 if tls else 80), tls)
        sent = {
            "host": parts.netloc.rpartition("@")[2],
            **headers,
            "accept-encoding": "identity",
            "content-length": str(len(body)),
        }
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        pairs = [(name.encode(), value.encode()) for name, value in sent.items()]
        try:
            with anyio.fail_after(seconds):
                # A new connection each time: this happens seldom, and a kept one may be dead.
                connection = await self._pool.connect(host, seconds)
                return await _answered(connection, head(method, target, pairs) + body)
        except TimeoutError as error:
            raise FetchError(f"{host} did not answer within {seconds:g} s") from error
        except UpstreamError as error:
            raise FetchError(f"{host}: {error}") from error


async def _answered(connection: Connection, message: bytes) -> tuple[int, bytes]:
    try:
        exchange = Exchange(connection, without_body=False)
        connection.write(message)
        await exchange.begin()
        body = b""
        while not exchange.complete:
            body += await exchange.piece()
            if len(body) > _MOST_BYTES:
                raise UpstreamError(f"its answer is larger than {_MOST_BYTES} bytes")
        return exchange.status, body
    finally:
        connection.abort()
