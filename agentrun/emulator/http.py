"""The request and the answer as the emulator's hot path sees them: ASGI, with nothing in between."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from agentrun.emulator.wire.envelope import ServiceError, dump, invalid

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 256 * 2**20


class Request:
    """One HTTP request; header names are lower-case, `path` is still percent-encoded."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        self.path = raw.partition(b"?")[0].decode("latin-1")
        self.query_string: str = scope["query_string"].decode("latin-1")
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self._body: bytes | None = None
        self.received = asyncio.Event()

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
            (b"content-type", self.media_type.encode()),
            (b"content-length", str(len(self.body)).encode()),
            (b"x-acs-request-id", request_id.encode()),
            *((name.encode(), value.encode()) for name, value in self.headers.items()),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})
