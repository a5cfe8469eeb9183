"""What a server says of itself to who asks for nothing in particular."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from agentrun.server.protocols.protocol import ProtocolHandler


@dataclass
class Info:
    """Answers `GET /` with the name of the agent and where each protocol is."""

    name: str = ""
    description: str = ""
    process: str | None = None
    mode: str = "daemon_thread"
    more: Mapping[str, str] = field(default_factory=dict[str, str])  # Other paths, by what they are for.
    _protocols: Sequence[ProtocolHandler] = field(default_factory=list[ProtocolHandler])

    def routes(self, protocols: Sequence[ProtocolHandler]) -> Sequence[BaseRoute]:
        """The route."""
        self._protocols = protocols
        return [Route("/", self._answer, methods=["GET"])]

    async def _answer(self, _: Request) -> JSONResponse:
        return JSONResponse(self.describe())

    def describe(self) -> dict[str, Any]:
        """What is answered."""
        endpoints = {"health": "/health", **({"process": self.process} if self.process else {}), **self.more}
        return {
            "service": self.name or "AgentRun",
            "description": self.description,
            "mode": self.mode,
            "endpoints": endpoints,
            "protocols": {protocol.name: list(protocol.get_prefixes()) for protocol in self._protocols},
        }
