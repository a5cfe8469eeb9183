"""Ends a server by a request that shows a token: answers under way are finished before."""

from __future__ import annotations

import hmac
import os
import signal
from collections.abc import Callable, Sequence

from pydantic import SecretStr
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from agentrun._serving.openai_error import ApiError
from agentrun.server.streaming import error_answer

_PATHS = ("/shutdown", "/admin/shutdown")


class Shutdown:
    """Answers `POST /shutdown`; `end` is called with a request that has the token, which nobody has without one."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token.get_secret_value().encode() if token else None
        self.end: Callable[[], object] = _end_this_process

    def routes(self) -> Sequence[BaseRoute]:
        """The route, under both of its names."""
        return [Route(path, self._answer, methods=["POST"]) for path in _PATHS]

    async def _answer(self, request: Request) -> Response:
        if self._token is None:
            message = "This server cannot be ended by a request: give it a shutdown_token, or end it by a signal"
            return error_answer(ApiError(403, message, "shutdown_disabled"))
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown.strip().encode(), self._token):
            message = "Send the shutdown_token of this server as `Authorization: Bearer TOKEN`"
            return error_answer(ApiError(401, message, "invalid_token", headers={"www-authenticate": "Bearer"}))
        return JSONResponse(
            {"message": "The server ends when its answers are finished"}, background=BackgroundTask(self._end)
        )

    def _end(self) -> None:
        self.end()


def _end_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
