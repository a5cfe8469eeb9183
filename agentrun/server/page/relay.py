"""The page of an agent that is elsewhere: an application on this machine that passes on what the page asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from agentrun._serving.asgi import App, Receive, Scope, Send
from agentrun._serving.openai_error import ApiError
from agentrun._serving.upstream import Exchange, Headers, Host, Pool, UpstreamError, head
from agentrun.server.local_access import is_local
from agentrun.server.page.routes import routes
from agentrun.server.page.settings import PageProtocol, PageSettings
from agentrun.server.streaming import error_answer, until_gone

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PASSED_ON = frozenset(
    (b"content-type", b"accept", b"authorization", b"x-agentrun-session-id", b"traceparent", b"last-event-id")
)
_REFUSED = PlainTextResponse("This page is for this machine alone", 403)
_PASSED_BACK = frozenset((b"content-type", b"content-length", b"cache-control", b"www-authenticate"))


def relay(
    url: str,
    protocols: Mapping[str, str],
    name: str,
    description: str = "",
    key: str | None = None,
    traces: str | None = None,
) -> App:
    """An application with the page for the agent at a URL; `protocols` has the paths of those that it speaks.

    `traces` is the path at which its server may show traces. A `key` is shown to the agent, and not told to the page.
    Only pages of this application can use it.
    """
    agent = _Agent(url, key)
    settings = PageSettings(name, [PageProtocol(*each) for each in protocols.items()], description, traces=traces)
    passed = [Route(f"{path}{{rest:path}}", agent, methods=["POST"]) for path in protocols.values()]
    if traces:
        passed.append(Route(f"{traces}/{{id}}", _NotForOthers(agent), methods=["GET"]))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        yield
        agent.close()

    return _OwnPagesOnly(Starlette(routes=[*routes(settings, agent.is_alive), *passed], lifespan=lifespan))


class _OwnPagesOnly:
    """An ASGI application that is asked under the names of this machine, by nobody but its own pages.

    Else a page of somebody else's, whose name leads here, could talk to the agent with our key.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        app = self._app
        if scope["type"] == "http" and not _is_own(Request(scope)):
            app = _REFUSED
        await app(scope, receive, send)


def _is_own(request: Request) -> bool:
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    return host.rpartition(":")[0] in _LOOPBACK and origin in (None, f"http://{host}")


class _NotForOthers:
    """An ASGI application that also refuses what a page of somebody else's can ask for without naming its origin."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        app = self._app if is_local(Request(scope)) else _REFUSED
        await app(scope, receive, send)


class _Agent:
    """An ASGI application that passes requests on, and answers back as they come."""

    def __init__(self, url: str, key: str | None) -> None:
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        self._host = Host(parts.hostname or "", parts.port or (443 if tls else 80), tls)
        self._netloc = parts.netloc.encode()
        self._key = key
        self._pool = Pool()

    async def is_alive(self) -> bool:
        """Whether it can be reached."""
        try:
            (await self._pool.connect(self._host)).abort()
        except UpstreamError:
            return False
        return True

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; when who asked goes away, so do we."""
        request = Request(scope, receive)
        body = await request.body()
        await until_gone(receive, self._carry(request, body, send))

    async def _carry(self, request: Request, body: bytes, send: Send) -> None:
        try:
            connection = await self._pool.connect(self._host)
        except UpstreamError as error:
            failed = error_answer(ApiError(502, f"{self._host}: {error}", "not_passed_on"))
            await failed(request.scope, request.receive, send)
            return
        try:
            await connection.send(head(request.method, request.url.path, self._headers(request, len(body))) + body)
            exchange = Exchange(connection, without_body=False)
            await exchange.begin()
            await _answer(exchange, send)
        finally:
            connection.abort()

    def _headers(self, request: Request, length: int) -> Headers:
        given = {name: value for name, value in request.headers.raw if name in _PASSED_ON}
        if self._key and b"authorization" not in given:
            given[b"authorization"] = f"Bearer {self._key}".encode()
        return [(b"host", self._netloc), *given.items(), (b"content-length", str(length).encode())]


async def _answer(exchange: Exchange, send: Send) -> None:
    kept = [pair for pair in exchange.headers if pair[0] in _PASSED_BACK]
    await send({"type": "http.response.start", "status": exchange.status, "headers": kept})
    more = True
    while more:
        piece = await exchange.piece()
        more = not exchange.complete
        await send({"type": "http.response.body", "body": piece, "more_body": more})
