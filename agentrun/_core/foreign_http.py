"""An HTTP client for a library that insists on one of its own kind, `httpx` or its successor: we do the sending."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias


class Outgoing(NamedTuple):
    """A request of the library's; header names are lower-case."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes


class Incoming(NamedTuple):
    """What the library gets for it; `close` is called in any case."""

    status: int
    headers: dict[str, str]
    body: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]


Exchange: TypeAlias = "Callable[[Outgoing], Awaitable[Incoming]]"


def foreign_client(library: str, exchange: Exchange) -> Any:
    """An `AsyncClient` of this library that hands every request to `exchange`."""
    http: Any = import_module(library)

    class Body(http.AsyncByteStream):  # type: ignore[misc]  # The library is known at run time only.
        def __init__(self, incoming: Incoming) -> None:
            self._incoming = incoming

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._incoming.body

        async def aclose(self) -> None:
            await self._incoming.close()

    class Exchanging(http.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            headers = {name.lower(): value for name, value in request.headers.items()}
            content = await request.aread()
            incoming = await exchange(Outgoing(request.method, str(request.url), headers, content))
            return http.Response(incoming.status, headers=incoming.headers, stream=Body(incoming))

    # How long a call may take, and which proxy it uses, is decided where it is sent.
    return http.AsyncClient(transport=Exchanging(), timeout=None, trust_env=False)
