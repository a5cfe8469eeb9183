"""Whether a server lives, and whether it is ready for requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route


class Health:
    """Answers `/health`, `/liveness` and `/readiness`; not ready is answered with 503."""

    def __init__(self) -> None:
        self.is_ready = True
        self.told: Callable[[], dict[str, str]] = lambda: {"status": "ok"}

    def routes(self) -> Sequence[BaseRoute]:
        """The three routes."""
        return [
            Route("/health", self._alive, methods=["GET"]),
            Route("/liveness", self._alive, methods=["GET"]),
            Route("/readiness", self._ready, methods=["GET"]),
        ]

    async def _alive(self, _: Request) -> JSONResponse:
        return JSONResponse(self.told())

    async def _ready(self, _: Request) -> JSONResponse:
        if self.is_ready:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "not ready"}, status_code=503)
