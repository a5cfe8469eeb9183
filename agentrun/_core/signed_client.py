"""An `httpx` client for libraries that send requests themselves: each one is signed, and takes our connections."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import httpx

from agentrun._core.blocking import is_blocking
from agentrun._core.session import Session, Timeouts
from agentrun._core.traced_requests import model_span, watched


class SignedRequests(httpx.Auth):
    """Signs each request at the moment it is sent; `sign` gives the headers for a method and a URL."""

    def __init__(self, sign: Callable[[str, str], Mapping[str, str]]) -> None:
        self._sign = sign

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign one request."""
        # Such libraries insist on a key, and the server would take what they send for one.
        request.headers.pop("authorization", None)
        request.headers.update(self._sign(request.method, str(request.url)))
        yield request


class SharedConnections(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The connections of a session, which stay open when a client that used them is closed."""

    def __init__(self, session: Session) -> None:
        self._wire = session.wire

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and wait in place for the head of its answer."""
        span = model_span(request)
        try:
            return watched(self._wire.exchange_in_place(request), span)
        except BaseException as error:
            span.end(error)
            raise

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and await the head of its answer."""
        span = model_span(request)
        try:
            return watched(await self._wire.exchange_awaited(request), span)
        except BaseException as error:
            span.end(error)
            raise


def signed_client(
    session: Session,
    sign: Callable[[str, str], Mapping[str, str]] | None,
    times: Timeouts,
    asynchronous: bool | None = None,
) -> httpx.Client | httpx.AsyncClient:
    """A client for one mode, else for that in which this is called; closing it closes nothing of the session's.

    Without `sign` it leaves requests as they are.
    """
    settings: dict[str, Any] = {
        "auth": SignedRequests(sign) if sign else None,
        "transport": SharedConnections(session),
        "timeout": httpx.Timeout(times.read, connect=times.connect),
        "trust_env": False,
    }
    if asynchronous is None:
        asynchronous = not is_blocking()
    return httpx.AsyncClient(**settings) if asynchronous else httpx.Client(**settings)
