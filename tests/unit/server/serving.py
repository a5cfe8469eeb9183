"""An agent on a port of its own, as its users run it."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import openai

from agentrun.server import AgentRunServer, ServerConfig
from tests.gateway.serving import LOOPS, on_port, plain_client

PATIENCE = 60.0
ASKED: Any = [{"role": "user", "content": "hi"}]


@dataclass
class Served:
    """A server that answers."""

    port: int
    http: httpx.Client

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def openai(self) -> openai.OpenAI:
        """The client of OpenAI, with all its defaults but patience."""
        return openai.OpenAI(base_url=f"{self.root}/openai/v1", api_key="none", timeout=PATIENCE)

    def connect(self) -> socket.socket:
        """A connection over which a test says what it likes."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def post(self, path: str, body: Any) -> httpx.Response:
        """A whole answer, to a body as it is or as JSON."""
        content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.http.post(f"{self.root}{path}", timeout=PATIENCE, **content)


@contextmanager
def serving(handler: Any, config: ServerConfig | None = None, loop: str = "uvloop") -> Generator[Served, None, None]:
    """A server for this agent, until the end of the block."""
    app: Any = AgentRunServer(handler, config=config).as_fastapi_app()
    with on_port(app, LOOPS[loop]) as port, plain_client() as http:
        yield Served(port, http)


def answers(http: httpx.Client, url: str) -> bool:
    """Whether a server that was started elsewhere is there already."""
    try:
        return http.get(url).status_code == 200
    except httpx.TransportError:
        return False
