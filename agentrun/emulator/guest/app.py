"""The agent's HTTP interface as one ASGI app: the parts put together, and how refusals are told."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentrun.emulator.guest.api import files
from agentrun.emulator.guest.api.contexts import ContextsAPI
from agentrun.emulator.guest.api.processes import ProcessesAPI
from agentrun.emulator.guest.errors import Exhausted, GuestError
from agentrun.emulator.guest.events import CallerGone
from agentrun.emulator.guest.paths import home
from agentrun.emulator.guest.sources import Sources

SERVICE = "code-interpreter"
VERSION = "1.0"
CALLER_GONE = 499


class Guest:
    """One sandbox as it is seen from outside.

    It can be made, with its app, before the fork that makes the sandbox; what belongs to one comes with `open`.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        # The routes need the object; its state has to wait until there is a home folder and a source.
        self._contexts = ContextsAPI.__new__(ContextsAPI)
        self._processes = ProcessesAPI()

    async def open(self, source: Sources) -> None:
        """Get ready for the first execution."""
        self._started = time.monotonic()
        ContextsAPI.__init__(self._contexts, home(), source)
        await self._contexts.open()

    def close(self) -> None:
        """End what runs in it."""
        self._contexts.close()
        self._processes.close()

    def app(self) -> Starlette:
        """The whole interface."""
        health = Route("/health", self._health, methods=["GET"])
        routes = [health, *self._contexts.routes(), *files.routes(), *self._processes.routes()]
        app = Starlette(routes=routes, exception_handlers=HANDLERS)
        app.middleware_stack = app.build_middleware_stack()
        return app

    async def _health(self, _request: Request) -> Response:
        now = datetime.datetime.now(datetime.timezone.utc)
        facts: dict[str, Any] = {"status": "ok", "service": SERVICE, "version": VERSION}
        return JSONResponse({**facts, "timestamp": now.isoformat(), "uptime": time.monotonic() - self._started})


async def _on_guest_error(_request: Request, error: GuestError) -> Response:
    return _refusal(error.status, error.code, str(error), error.headers)


async def _on_exhaustion(_request: Request, error: BlockingIOError) -> Response:
    """What the kernel answers when no process can be started; files and sockets never get here unexplained."""
    text = (
        f"the sandbox has as many processes as it may have ({error.strerror}): end some with DELETE /processes/{{pid}}"
    )
    return _refusal(Exhausted.status, Exhausted.code, text)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:
        method = request.scope.get("method", "WEBSOCKET")
        return _refusal(404, "ERR_NOT_FOUND", f"there is no route {method} {request.url.path}")
    return _refusal(error.status_code, "ERR_REQUEST", f"{request.method} {request.url.path}: {error.detail}")


async def _on_caller_gone(_request: Request, _error: CallerGone) -> Response:
    """Nobody reads it, but a request has to be answered."""
    return Response(status_code=CALLER_GONE)


async def _on_failure(_request: Request, error: Exception) -> Response:
    return _refusal(500, "ERR_INTERNAL", f"the sandbox failed: {type(error).__name__}: {error}")


def _refusal(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    # A message may quote what a request sent, and that need not be proper Unicode.
    readable = message.encode("utf-8", "backslashreplace").decode()
    content = {"code": code, "message": readable, "requestId": uuid.uuid4().hex}
    return JSONResponse(content, status_code=status, headers=headers)


HANDLERS: dict[Any, Any] = {
    GuestError: _on_guest_error,
    BlockingIOError: _on_exhaustion,
    CallerGone: _on_caller_gone,
    HTTPException: _on_http_error,
    Exception: _on_failure,
}
