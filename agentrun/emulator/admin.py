"""The emulator's own interface, which the cloud does not have: `/_emulator/health`, `journal`, `receipt` and so on.

It is for clients of this machine: code inside sandboxes and agent runtimes is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agentrun.emulator.backends.base import BackendError
from agentrun.emulator.backends.deferred import DeferredBackend
from agentrun.emulator.http import Request, Response
from agentrun.emulator.platform import Platform
from agentrun.emulator.wire.envelope import ServiceError, forbidden
from agentrun.emulator.wire.table import whole_number

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Admin:
    """Answers the emulator's own routes."""

    PREFIX = "/_emulator/"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._routes: dict[tuple[str, str], Callable[[Request], Awaitable[dict[str, Any] | str]]] = {
            ("GET", "health"): self._health,
            ("GET", "status"): self._status,
            ("GET", "journal"): self._journal,
            ("GET", "receipt"): self._receipt,
            ("GET", "metrics"): self._metrics,
            ("POST", "reset"): self._reset,
        }

    async def handle(self, request: Request, request_id: str) -> int:
        """Answer a request; returns the status. Raises ServiceError (403, 404)."""
        if request.from_inside:
            raise forbidden(
                "ERR_INSIDE_REFUSED",
                f"{self.PREFIX} is closed to code in sandboxes and agent runtimes; call it from outside of them",
            )
        route = self._routes.get((request.method, request.path.removeprefix(self.PREFIX)))
        if route is None:
            known = ", ".join(f"{method} {self.PREFIX}{name}" for method, name in self._routes)
            raise ServiceError(404, "ERR_NOT_FOUND", f"there is no {request.method} {request.path}; there are {known}")
        answer = await route(request)
        response = Response(answer.encode(), media_type=_TEXT) if isinstance(answer, str) else Response.json(answer)
        await response.send(request.send, request_id)
        return 200

    async def _health(self, request: Request) -> dict[str, Any]:
        return {"status": "ok"}

    async def _status(self, request: Request) -> dict[str, Any]:
        """What runs, and how strongly it is isolated; the reason when nothing can run."""
        backend = self._platform.backend
        problem = None
        if isinstance(backend, DeferredBackend):
            try:
                backend = await backend.ready()
            except BackendError as error:
                problem = str(error)
        return {
            "backend": backend.name,
            "problem": problem,
            "isolation": backend.isolation.level,
            "missing": list(backend.isolation.missing),
            "sandboxes": self._platform.sandboxes.count,
            "agents": self._platform.instances.count,
            "state": str(self._platform.settings.state or "in memory"),
            "profile": self._platform.settings.profile,
        }

    async def _journal(self, request: Request) -> dict[str, Any]:
        """The entries after `after`, of one `operation` and one `account` if named."""
        query = request.query
        entries = self._platform.journal.entries(
            whole_number(query, "after", 0, most=2**63, least=0),
            operation=query.get("operation") or None,
            account=query.get("account") or None,
        )
        return {"entries": [entry.to_json() for entry in entries]}

    async def _receipt(self, request: Request) -> dict[str, Any]:
        """Which models were called so far, and what served them."""
        return self._platform.recordings.receipt().to_json()

    async def _metrics(self, request: Request) -> str:
        """What the gateway of models has counted, in the text format of Prometheus."""
        return (await self._platform.model_gateway()).metrics()

    async def _reset(self, request: Request) -> dict[str, Any]:
        """Forget everything, or one `account`."""
        await self._platform.reset(request.query.get("account") or None)
        return {"status": "ok"}
