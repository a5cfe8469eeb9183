"""The scripted model on a port, its script replaced by each test, and short ways to ask it."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
import uvicorn
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentrun.emulator.scripted import Rule, Script, ScriptedModel

T = TypeVar("T")

PREFIX = "/models/my-proxy"
CREATED = 1_750_000_000


@dataclass
class Witness:
    """Passes requests on to an application, counts its body messages and tells when it returned."""

    app: ASGIApp
    bodies: int = 0
    returned: threading.Event = field(default_factory=threading.Event)

    def expect(self, app: ASGIApp) -> None:
        self.app, self.bodies = app, 0
        self.returned.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def count(message: Message) -> None:
            self.bodies += message["type"] == "http.response.body"
            await send(message)

        await self.app(scope, receive, count)
        self.returned.set()


@dataclass
class Served:
    """A server whose model each test replaces."""

    witness: Witness
    url: str

    def run(self, *rules: Rule, strict: bool = False) -> OpenAI:
        """Serve a script and return a client that does not retry."""
        return self.serve(ScriptedModel(Script(rules, strict=strict), clock=lambda: CREATED + 0.9))

    def serve(self, model: ScriptedModel) -> OpenAI:
        self.witness.expect(model)
        return self.client()

    def client(self, api_key: str = "sk-any", max_retries: int = 0) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=api_key, max_retries=max_retries, timeout=10)

    def post(
        self, body: bytes | str, key: str = "Bearer k", path: str = "/v1/chat/completions", timeout: float = 10
    ) -> httpx.Response:
        headers = {"authorization": key} if key else {}
        return httpx.post(f"{self.url}{path}", content=body, headers=headers, trust_env=False, timeout=timeout)


@contextmanager
def serving() -> Generator[Served, None, None]:
    """A server on a free port."""
    witness = Witness(ScriptedModel())
    app = Starlette(routes=[Mount(PREFIX, app=witness)])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Served(witness, f"http://127.0.0.1:{_wait_port(server)}{PREFIX}")
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def _wait_port(server: uvicorn.Server) -> int:
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.005)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def ask(client: OpenAI, text: str = "hello") -> str | None:
    return client.chat.completions.create(model="m", messages=user(text)).choices[0].message.content


def stream(client: OpenAI, text: str = "hello") -> list[ChatCompletionChunk]:
    return list(client.chat.completions.create(model="m", messages=user(text), stream=True))


def content(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def tool(name: str) -> ChatCompletionToolParam:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


def collect(pieces: Iterable[T]) -> tuple[list[T], Exception | None]:
    """What came before an iteration ended, and the error that ended it."""
    came: list[T] = []
    try:
        for piece in pieces:
            came.append(piece)  # noqa: PERF402  # `extend` forgets what came when it is interrupted
    except Exception as error:  # the openai client lets the error of the HTTP library through in some of its versions
        return came, error
    return came, None
