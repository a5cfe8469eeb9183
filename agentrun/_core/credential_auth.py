"""Lets any client of httpx show a credential; apart from the authorizer, which servers use that never load httpx."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import httpx

from agentrun._core.authorizer import Authorizer
from agentrun._core.blocking import run
from agentrun._core.outbound import Outgoing, Place, Proof


class CredentialAuth(httpx.Auth):
    """Lets any client of httpx show a credential: `httpx.get(url, auth=credential.auth())`."""

    def __init__(self, authorizer: Authorizer, place: Place | None = None, *, reads_body: bool = False) -> None:
        self._authorizer = authorizer
        self._place = place
        self._reads_body = reads_body

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request with its proof, and once more with a new token when that was refused."""
        if self._reads_body:
            request.read()
        cookie, url = request.headers.get("cookie", ""), request.url
        outgoing = self._outgoing(request)
        shown = run(self._authorizer.proof(outgoing, self._place))
        response = yield _carrying(request, shown, url, cookie)
        if response.status_code == 401 and (other := run(self._authorizer.again(outgoing, shown, self._place))):
            yield _carrying(request, other, url, cookie)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send a request with its proof, and once more with a new token when that was refused."""
        if self._reads_body:
            await request.aread()
        cookie, url = request.headers.get("cookie", ""), request.url
        outgoing = self._outgoing(request)
        shown = await self._authorizer.proof(outgoing, self._place)
        response = yield _carrying(request, shown, url, cookie)
        if response.status_code == 401 and (other := await self._authorizer.again(outgoing, shown, self._place)):
            yield _carrying(request, other, url, cookie)

    def _outgoing(self, request: httpx.Request) -> Outgoing:
        body = request.content if self._reads_body else b""
        return Outgoing(request.method, str(request.url), dict(request.headers), body)


def _carrying(request: httpx.Request, shown: Proof, url: httpx.URL, cookie: str) -> httpx.Request:
    request.url = httpx.URL(shown.url(str(url)))
    request.headers.update(shown.all_headers(cookie))
    return request
