"""Small questions that the gateway itself asks a server behind it, and their answers as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from agentrun._serving.upstream import Connection, Exchange, Pool, head
from agentrun.emulator.data.proxy import with_query
from agentrun.emulator.wire.envelope import dump


class Asking:
    """Asks servers on unix sockets, over connections that are kept."""

    def __init__(self) -> None:
        self._pool = Pool()

    async def ask(
        self,
        socket: Path,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        more: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """The status and the value of an answer, None when it has none; what is None in a query is left out.

        `more` are further headers. Raises UpstreamError when the answer does not come.
        """
        status, value, _ = await self.ask_whole(socket, method, path, query, body, more)
        return status, value

    async def ask_whole(
        self,
        socket: Path,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        more: Mapping[str, str] | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """What `ask` gives, and the headers of the answer, their names in lower case."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        content = b"" if body is None else dump(body)
        headers = [(b"host", b"localhost"), (b"content-length", str(len(content)).encode())]
        headers += [(name.encode(), value.encode()) for name, value in (more or {}).items()]
        if content:
            headers.append((b"content-type", b"application/json"))
        request = head(method, with_query(path, urlencode(given)), headers) + content
        connection = await self._pool.acquire(socket)
        exchange = Exchange(connection, without_body=False)
        try:
            value = await _answer(connection, exchange, request)
        except BaseException:
            connection.abort()
            raise
        if exchange.reusable:
            self._pool.release(socket, connection)
        else:
            connection.abort()
        return exchange.status, value, {name.decode(): each.decode("latin-1") for name, each in exchange.headers}

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


async def _answer(connection: Connection, exchange: Exchange, request: bytes) -> Any:
    await connection.send(request)
    await exchange.begin()
    pieces: list[bytes] = []
    while not exchange.complete:
        pieces.append(await exchange.piece())
    return _value(b"".join(pieces))


def _value(content: bytes) -> Any:
    """The value of a body, or of the last event in it."""
    data = [line[5:] for line in content.splitlines() if line.startswith(b"data:")]
    try:
        return json.loads(data[-1] if data else content)
    except ValueError:
        return None
