"""The routes of the page: `/chat`, its files below it, and `/` for browsers."""

from __future__ import annotations

import gzip
import html
import json
from collections.abc import Awaitable, Callable
from string import Template
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route

from agentrun._serving.asgi import Scope
from agentrun.server.page.files import INDEX, Files, page_files
from agentrun.server.page.settings import PageSettings

PATH = "/chat"
ALIVE = "chat/alive"
# What the page shows was written by an agent: nothing but the page's own files runs or is loaded, nothing is sent
# elsewhere, no text becomes markup, and nobody frames it.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_FOREVER = "public, max-age=31536000, immutable"

IsAlive = Callable[[], Awaitable[bool]]


def routes(settings: PageSettings, is_alive: IsAlive | None = None) -> list[BaseRoute]:
    """The routes, to stand before others; `is_alive` says whether an agent that is elsewhere can be reached.

    A browser that asks for `/` is led to the page, all others get what else answers there.
    """
    page = _Page(settings, is_alive)
    return [
        _BrowserRoute("/", page.lead, methods=["GET"]),
        Route(PATH, page.index, methods=["GET"]),
        Route(f"/{ALIVE}", page.alive, methods=["GET"]),
        Route(f"{PATH}/{{version}}/{{path:path}}", page.file, methods=["GET"]),
    ]


class _BrowserRoute(Route):
    """A route for those who want to see HTML."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether this route answers."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or not _wants_html(scope):
            return Match.NONE, {}
        return super().matches(scope)


def _wants_html(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


class _Page:
    """Answers for the page."""

    def __init__(self, settings: PageSettings, is_alive: IsAlive | None) -> None:
        self._settings = settings
        self._is_alive = is_alive

    async def lead(self, request: Request) -> Response:
        """The way to the page, also below another path."""
        return RedirectResponse(request.scope.get("root_path", "") + PATH, headers={"vary": "accept"})

    async def index(self, request: Request) -> Response:
        """The page itself, which names its files by what is in them."""
        files = page_files()
        document = _document(self._settings, files)
        return _answer(request, document, gzip.compress(document), files.by_path[INDEX].media_type, "no-cache")

    async def file(self, request: Request) -> Response:
        """One of its files; the version in the path is there for caches."""
        files = page_files()
        file = files.by_path.get(request.path_params["path"])
        if file is None:
            return Response("There is no such file", 404, headers=_HEADERS)
        caching = _FOREVER if request.path_params["version"] == files.version else "no-cache"
        return _answer(request, file.content, file.compressed, file.media_type, caching)

    async def alive(self, _: Request) -> Response:
        """Whether the agent can be reached."""
        is_alive = self._is_alive is None or await self._is_alive()
        return Response(status_code=204 if is_alive else 502, headers={"cache-control": "no-store"})


def _document(settings: PageSettings, files: Files) -> bytes:
    assets = f"{PATH[1:]}/{files.version}"
    modules = [path for path in files.by_path if path.endswith(".js") and path != "first.js"]
    values = {
        "title": html.escape(settings.name),
        "settings": html.escape(json.dumps(_told(settings), ensure_ascii=False)),
        "assets": assets,
        # Browsers learn of a module only when they have read the one that needs it.
        "preloads": "\n    ".join(f'<link rel="modulepreload" href="{assets}/{path}">' for path in modules),
    }
    return Template(files.by_path[INDEX].content.decode()).substitute(values).encode()


def _told(settings: PageSettings) -> dict[str, Any]:
    # Without the slash before them paths lead below the one where the application is.
    protocols = [{"name": name, "path": path.lstrip("/")} for name, path in settings.protocols]
    traces = settings.traces and settings.traces.lstrip("/")
    return {**settings._asdict(), "protocols": protocols, "alive": ALIVE, "traces": traces}


def _answer(request: Request, content: bytes, compressed: bytes, media_type: str, caching: str) -> Response:
    headers = {**_HEADERS, "cache-control": caching, "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(compressed, headers={**headers, "content-encoding": "gzip"}, media_type=media_type)
    return Response(content, headers=headers, media_type=media_type)
