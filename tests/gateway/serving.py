"""The gateway on a port of its own, as its users run it: uvicorn, TCP, and gone afterwards."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import uvicorn
import uvloop

from agentrun._serving.asgi import App
from agentrun.gateway.app import GatewayApp
from agentrun.gateway.file import GatewayFile
from agentrun.gateway.gateway import Gateway
from agentrun.gateway.keys import Keys

PATIENCE = 15.0
MESSAGES: Any = [{"role": "user", "content": "hi"}]
LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


class _Server(uvicorn.Server):
    """Ends as soon as it is told to, and not at the next tenth of a second."""

    def __init__(self, app: App) -> None:
        super().__init__(uvicorn.Config(app, log_config=None, log_level="critical", timeout_graceful_shutdown=1))
        self.ended = asyncio.Event()

    async def main_loop(self) -> None:
        await self.ended.wait()


@dataclass
class Running:
    """A gateway that answers; `url` is what clients of OpenAI take as their base URL."""

    port: int
    app: GatewayApp
    http: httpx.Client

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def client(self, key: str = "none", **options: Any) -> openai.OpenAI:
        """A foreign client that does not try again by itself, so that a test sees what the gateway does."""
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=PATIENCE, **options)

    def post(self, body: Any = None, path: str = "/chat/completions", **headers: str) -> httpx.Response:
        """A whole answer, to a body as it is or as JSON."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body or chat()}
        return self.http.post(f"{self.url}{path}", headers=headers, **content)

    def stats(self, proxy: str = "chat") -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"{self.root}/models/{proxy}/stats").json()
        return found

    def connect(self) -> socket.socket:
        """A connection over which a test says what it likes."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)


@contextmanager
def serving_gateway(proxies: Mapping[str, Any], loop: str = "uvloop", **file: Any) -> Generator[Running, None, None]:
    """A gateway for these proxies, until the end of the block."""
    read = GatewayFile(proxies=proxies, **file)
    app = GatewayApp(read.plans(), Keys(read.callers()), Gateway())
    with on_port(app, LOOPS[loop]) as port, plain_client() as http:
        yield Running(port, app, http)


def plain_client() -> httpx.Client:
    """A client for loopback: without proxies, and without reading certificates."""
    return httpx.Client(timeout=PATIENCE, trust_env=False, verify=False)


@contextmanager
def on_port(app: App, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Generator[int, None, None]:
    """An application on a free port, in a thread."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    loop = new_loop()
    server = _Server(app)
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve([listening]),), daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port: int = listening.getsockname()[1]
        yield port
    finally:
        loop.call_soon_threadsafe(server.ended.set)
        thread.join(PATIENCE)
        listening.close()
        loop.close()


def proxy(*endpoints: str | dict[str, Any], mode: str = "single", **policies: Any) -> dict[str, Any]:
    """A proxy with these endpoints; `gateway` among the policies holds those of the local platform."""
    listed = [{"base_url": each} if isinstance(each, str) else each for each in endpoints]
    return {"endpoints": listed, "proxy_mode": mode, "policies": policies}


def one(*endpoints: str | dict[str, Any], **policies: Any) -> dict[str, Any]:
    """The proxies of a gateway that has only one, called `chat`."""
    return {"chat": proxy(*endpoints, **policies)}


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": MESSAGES, **fields}


def wait_until(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for a condition; what a test claims about time it measures by itself."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.002)
