"""Small questions that the gateway itself asks a server behind it, and their answers as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from agentrun._serving.upstream import Exchange, Pool, head
from agentrun.emulator.data.proxy import with_query
from agentrun.emulator.wire.envelope import dump


class Asking:
    """Asks servers on unix sockets, over connections that are kept."""

    def __init__(self) -> None:
        self._pool = Pool()

    async def ask(
        self, socket: Path, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> tuple[int, Any]:
        """The status and the value of an answer, None when it has none; what is None in a query is left out.

        Raises UpstreamError when it does not come.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        content = b"" if body is None else dump(body)
        headers = [(b"host", b"localhost"), (b"content-length", str(len(content)).encode())]
        if content:
            headers.append((b"content-type", b"application/json"))
        connection = await self._pool.acquire(socket)
        exchange = Exchange(connection, without_body=False)
        try:
            await connection.send(head(method, with_query(path, urlencode(given)), headers) + content)
            await exchange.begin()
            pieces: list[bytes] = []
            while not exchange.complete:
                pieces.append(await exchange.piece())
        except BaseException:
            connection.abort()
            raise
        if exchange.reusable:
            self._pool.release(socket, connection)
        else:
            connection.abort()
        return exchange.status, _value(b"".join(pieces))

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


def _value(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
