"""The older transport of MCP through the gateway: where messages go is said by the server, in its own addresses."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

from agentrun._serving.asgi import Message, Send
from agentrun.emulator.bridge.plan import MESSAGES
from agentrun.emulator.data.proxy import BrokenOffError
from agentrun.emulator.data.tools.servers import Server
from agentrun.emulator.http import Request

_END = re.compile(rb"\r?\n\r?\n|\r\r")
_MOST_BEFORE = 64 * 1024
Owner: TypeAlias = tuple[object, ...]


class Endpoints:
    """Remembers, for each open stream, where its messages go; callers only get a name for it."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Owner, Server]] = {}

    def find(self, owner: Owner, name: str) -> Server | None:
        """Where the messages of a stream of this tool go, None when it is not open."""
        found = self._open.get(name)
        return found[1] if found and found[0] == owner else None

    @contextmanager
    def naming(self, owner: Owner, server: Server, request: Request) -> Generator[None, None, None]:
        """Inside the block the answer to a request is a stream of a server, and names our address for messages."""
        name = secrets.token_hex(16)

        def own_address(reference: str) -> str:
            there = server.resolved(reference)
            if there is None:
                raise BrokenOffError(f"{server.what} wants its messages at another server: {reference[:200]}")
            self._open[name] = (owner, there)
            return f"{MESSAGES[1:]}?sessionId={name}"

        send, request.send = request.send, _Renaming(request.send, own_address)
        try:
            yield
        finally:
            request.send = send
            self._open.pop(name, None)


class _Renaming:
    """Passes an answer on with the address in its event `endpoint` replaced; the rest of it stays as it is."""

    def __init__(self, send: Send, own_address: Callable[[str], str]) -> None:
        self._send = send
        self._own_address = own_address
        self._before: bytes | None = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] != 200:
                self._before = None
            else:  # It will have another length.
                message = {**message, "headers": [pair for pair in message["headers"] if pair[0] != b"content-length"]}
        if message["type"] == "http.response.body" and self._before is not None:
            message = {**message, "body": self._renamed(self._before + message.get("body", b""))}
        await self._send(message)

    def _renamed(self, body: bytes) -> bytes:
        """What can be passed on by now: whole events, until the one that was waited for has come."""
        passed = b""
        while end := _END.search(body):
            event, body = body[: end.start()], body[end.end() :]
            if reference := _endpoint(event):
                self._before = None
                return passed + b"event: endpoint\ndata: %b\n\n" % self._own_address(reference).encode() + body
            passed += event + b"\n\n"
        if len(body) > _MOST_BEFORE:
            raise BrokenOffError("the server names no address for messages")
        self._before = body
        return passed


def _endpoint(event: bytes) -> str | None:
    fields = dict(line.split(":", 1) for line in event.decode("utf-8", "replace").splitlines() if ":" in line)
    return fields.get("data", "").strip() if fields.get("event", "").strip() == "endpoint" else None
