"""Foreign clients of MCP: the `mcp` package over TCP, and raw requests that look at every byte."""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from mcp import ClientSession
from mcp.client.sse import sse_client

from agentrun._core.local import account_id
from tests.emulator.signed import Account

BOTH = "application/json, text/event-stream"
PROTOCOL = "2025-06-18"


def unsigned(account: Account) -> dict[str, str]:
    """The header by which a client that does not sign says whose tool it means."""
    return {"X-Acs-Parent-Id": account_id(account.key)}


@asynccontextmanager
async def connected(account: Account, path: str) -> AsyncGenerator[ClientSession, None]:
    """A session of the `mcp` package with an MCP server of an account, by the transport that the path ends with."""
    url = f"{account.client.base_url}{path}"
    async with _transport(url, unsigned(account)) as streams, ClientSession(streams[0], streams[1]) as session:
        await session.initialize()
        yield session


@asynccontextmanager
async def _transport(url: str, headers: Mapping[str, str]) -> AsyncGenerator[Any, None]:
    if url.endswith("/sse"):
        async with sse_client(url, dict(headers)) as streams:
            yield streams
        return
    module: Any = importlib.import_module("mcp.client.streamable_http")
    if hasattr(module, "streamablehttp_client"):  # mcp 1
        async with module.streamablehttp_client(url, headers=dict(headers)) as streams:
            yield streams
        return
    library: Any = importlib.import_module("httpx2")
    async with (
        library.AsyncClient(headers=headers, timeout=60) as client,
        module.streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams


def text_of(result: Any) -> str:
    """The text of a tool's result."""
    return "".join(part.text for part in result.content)


def messages_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The messages of an answer, which may be one as JSON or several as events."""
    if answer.headers["content-type"].startswith("application/json"):
        return [answer.json()]
    return [json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:") and line[5:].strip()]


def message_of(answer: httpx.Response) -> dict[str, Any]:
    """The last message of an answer."""
    return messages_of(answer)[-1]


@dataclass
class RawClient:
    """A session by signed requests of streamable HTTP."""

    account: Account
    path: str
    session: str = ""
    ids: count[int] = field(default_factory=lambda: count(1))

    def send(self, message: Any, **headers: str) -> httpx.Response:
        """Post one message."""
        given = {"accept": BOTH, "content-type": "application/json"}
        given |= {"mcp-session-id": self.session} if self.session else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = message if isinstance(message, bytes) else json.dumps(message).encode()
        return self.account.client.send(self._request("POST", content, given))

    def plain(self, method: str, **headers: str) -> httpx.Response:
        """Send a request without a message."""
        given = {"accept": BOTH, "mcp-session-id": self.session}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.account.client.send(self._request(method, b"", given))

    def ask(self, method: str, **params: Any) -> Any:
        """The result of a request that must succeed."""
        answer = self.send(self.request(method, **params))
        assert answer.status_code == 200, answer.text
        return message_of(answer)["result"]

    def request(self, method: str, **params: Any) -> dict[str, Any]:
        """A request with a new id."""
        return {"jsonrpc": "2.0", "id": next(self.ids), "method": method, "params": params}

    def begin(self, version: str = PROTOCOL) -> Any:
        """Begin the session; the result of initialize."""
        client = {"name": "raw", "version": "1"}
        message = self.request("initialize", protocolVersion=version, capabilities={}, clientInfo=client)
        answer = self.send(message)
        assert answer.status_code == 200, answer.text
        self.session = answer.headers["mcp-session-id"]
        accepted = self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert (accepted.status_code, accepted.content) == (202, b"")
        return message_of(answer)["result"]

    def call(self, name: str, **arguments: Any) -> Any:
        """The value that a tool of the plain server gives."""
        result = self.ask("tools/call", name=name, arguments=arguments)
        return json.loads(result["content"][0]["text"])

    def _request(self, method: str, content: bytes, headers: Mapping[str, str]) -> httpx.Request:
        return self.account.data_request(method, self.path, content=content, headers=headers)


def begun(account: Account, path: str) -> RawClient:
    """A session by signed requests."""
    client = RawClient(account, path)
    client.begin()
    return client
