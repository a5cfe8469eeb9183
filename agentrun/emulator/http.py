"""The request and the answer as the emulator's hot path sees them: ASGI, with nothing in between."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import anyio

from agentrun import __version__
from agentrun._serving.asgi import App, Message, Receive, Scope, Send
from agentrun.emulator.wire.envelope import ServiceError, dump, invalid

LARGEST_BODY = 256 * 2**20
_FAREWELL_SECONDS = 1.0
# On every answer: a client learns by it that extensions exist which the cloud does not have.
EMULATOR_HEADER = (b"x-agentrun-emulator", __version__.encode())
_INSIDE = "agentrun.inside"


class Request:
    """One HTTP request; header names are lower-case, `path` is still percent-encoded."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope.get("method", "GET")
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        self.path = raw.partition(b"?")[0].decode("latin-1")
        self.query_string: str = scope["query_string"].decode("latin-1")
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self._body: bytes | None = None

    @property
    def from_inside(self) -> bool:
        """Whether code in a sandbox or an agent runtime sent it, and not a client of this machine."""
        return _INSIDE in self.scope

    @cached_property
    def query(self) -> dict[str, str]:
        """The query with its values decoded."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    async def body(self) -> bytes:
        """The whole body; raises ServiceError (413) when it is larger than 256 MiB."""
        if self._body is None:
            chunks: list[bytes] = []
            size, more = 0, True
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionAbortedError("the caller went away before its body was whole")
                chunk: bytes = message.get("body", b"")
                chunks.append(chunk)
                size, more = size + len(chunk), message.get("more_body", False)
                if size > LARGEST_BODY:
                    raise ServiceError(413, "ERR_REQUEST_TOO_LARGE", "the body is larger than 256 MiB")
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        """The body as values, None when it is empty; raises ServiceError (400)."""
        content = await self.body()
        if not content:
            return None
        try:
            return _decoded(content)
        except (ValueError, RecursionError) as error:
            raise invalid(f"the body is not JSON: {error}") from error

    async def lenient_json(self) -> Any:
        """The body as values, None when it is no JSON that we read; somebody else tells what is wrong with it."""
        with contextlib.suppress(ServiceError):
            return await self.json()
        return None

    def replay(self) -> None:
        """Let the body, which was read, be received once more by whoever passes the request on."""
        receive, body = self.receive, self._body or b""

        async def again() -> Message:
            self.receive = receive
            return {"type": "http.request", "body": body, "more_body": False}

        self.receive = again


class Handshake(Request):
    """A websocket that asks to be opened; until it is accepted, what is sent refuses it with an answer in HTTP."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, self._refuse)
        self._send = send

    @property
    def subprotocols(self) -> list[str]:
        """What the caller can speak, the best first."""
        offered: list[str] = self.scope.get("subprotocols", [])
        return offered

    async def accept(self, subprotocol: str | None, headers: Sequence[Sequence[bytes]], request_id: str) -> None:
        """Open the websocket."""
        ours = (EMULATOR_HEADER, (b"x-acs-request-id", request_id.encode()))
        await self.receive()
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": [*ours, *headers]})

    async def say(self, content: str | bytes) -> None:
        """Send one message, not faster than it is taken."""
        await self._send({"type": "websocket.send", "text" if isinstance(content, str) else "bytes": content})

    async def close(self, code: int, reason: str) -> None:
        """Close an open websocket."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _refuse(self, message: Message) -> None:
        await self._send({**message, "type": f"websocket.{message['type']}"})
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            with anyio.move_on_after(_FAREWELL_SECONDS):
                await self._disconnected()

    async def _disconnected(self) -> None:
        # uvicorn tells of the end twice, of the answer's and of the connection's; who returns before the second is
        # reported in its log as somebody who has not answered.
        for _ in range(2):
            while (await self.receive())["type"] != "websocket.disconnect":
                pass


def inside_marked(app: App) -> App:
    """An application as code inside reaches it: every request and websocket tells that it comes from there."""

    async def marked(scope: Scope, receive: Receive, send: Send) -> None:
        scope[_INSIDE] = True
        await app(scope, receive, send)

    return marked


def emulator_marked(send: Send) -> Send:
    """A way to send answers of somebody else's application, with the emulator's header on them."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [EMULATOR_HEADER, *message["headers"]]}
        await send(message)

    return marked


def _decoded(content: bytes) -> Any:
    value = json.loads(content, parse_float=_finite, parse_constant=_finite)
    if b"\\u" in content:
        # Half of a surrogate pair can be written as an escape, but is no text that could be stored or sent back.
        dump(value)
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number that JSON has")
    return number


@dataclass
class Response:
    """A whole answer."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    media_type: str = "application/json"

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Response:
        """An answer in JSON."""
        return cls(dump(value), status)

    async def send(self, send: Send, request_id: str) -> None:
        """Write the answer, with the id that the request was given."""
        headers: list[Sequence[bytes]] = [
            EMULATOR_HEADER,
            (b"content-type", self.media_type.encode()),
            (b"content-length", str(len(self.body)).encode()),
            (b"x-acs-request-id", request_id.encode()),
            *((name.encode(), value.encode()) for name, value in self.headers.items()),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})
