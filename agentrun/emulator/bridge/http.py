"""What the transports of MCP need of HTTP, over ASGI."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agentrun.emulator.bridge.messages import INVALID_REQUEST, Message, dump, failure
from agentrun.emulator.bridge.session import Stream

ASGIMessage: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[ASGIMessage]]
Send: TypeAlias = Callable[[ASGIMessage], Awaitable[None]]

LARGEST_MESSAGE = 64 * 2**20
JSON, EVENTS = "application/json", "text/event-stream"
# A comment now and then keeps a silent stream from being taken for a dead one.
PING_SECONDS = 15.0
_PING = b": ping\n\n"


class Refused(Exception):
    """A request that gets an error instead of an answer: its status, and the error of JSON-RPC in its body."""

    def __init__(self, status: int, text: str, *, code: int = INVALID_REQUEST, id: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.id = id

    @property
    def body(self) -> bytes:
        """The error as JSON-RPC has it."""
        return failure(self.id, self.code, str(self))


@dataclass
class Exchange:
    """One HTTP request and the way back."""

    scope: Scope
    receive: Receive
    send: Send
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}

    @property
    def method(self) -> str:
        """GET, POST and so on."""
        method: str = self.scope["method"]
        return method

    async def body(self) -> bytes:
        """The whole body. Raises Refused (413)."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ConnectionAbortedError("the caller went away before its message was whole")
            part: bytes = message.get("body", b"")
            parts.append(part)
            size, more = size + len(part), message.get("more_body", False)
            if size > LARGEST_MESSAGE:
                raise Refused(413, f"the message is larger than {LARGEST_MESSAGE // 2**20} MiB")
        return b"".join(parts)

    def check_accepts(self, *types: str) -> None:
        """Refuse (406) a caller that does not take what we may answer."""
        accepted = [part.partition(";")[0].strip().lower() for part in self.headers.get("accept", "*/*").split(",")]
        for kind in types:
            if not {kind, f"{kind.partition('/')[0]}/*", "*/*"} & set(accepted):
                raise Refused(406, f"the header Accept must name {' and '.join(types)}")

    def check_is_json(self) -> None:
        """Refuse (415) a body that is not said to be JSON."""
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise Refused(415, f"the header Content-Type must be {JSON}")

    async def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer."""
        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        if body:
            given.append((b"content-type", JSON.encode()))
        given.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": given})
        await self.send({"type": "http.response.body", "body": body})

    async def answer_json(self, value: Any) -> None:
        """Send a value as JSON."""
        await self.answer(200, dump(value))

    async def begin_events(self, **headers: str) -> None:
        """Send the head of a stream of events."""
        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        kind = [(b"content-type", EVENTS.encode()), (b"cache-control", b"no-store")]
        await self.send({"type": "http.response.start", "status": 200, "headers": [*kind, *given]})

    async def event(self, name: str, data: bytes) -> None:
        """Send one event."""
        body = b"event: %b\ndata: %b\n\n" % (name.encode(), data)
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def ping(self) -> None:
        """Send a comment, which no reader of events sees."""
        await self.send({"type": "http.response.body", "body": _PING, "more_body": True})

    async def end_events(self) -> None:
        """Send the end of the stream."""
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def pour(self, stream: Stream) -> None:
        """Send all of a stream as events until it ends or the caller goes away."""
        async with self.watching(stream):
            while (message := await self.next(stream)) is not None:
                await self.event("message", message.line)
        await self.end_events()

    async def next(self, stream: Stream) -> Message | None:
        """The next message, None at the end; while there is none, the caller's stream of events is kept alive."""
        while True:
            try:
                return await stream.next(PING_SECONDS)
            except TimeoutError:
                await self.ping()

    @contextlib.asynccontextmanager
    async def watching(self, stream: Stream) -> AsyncGenerator[None, None]:
        """Inside the block a stream ends when the caller goes away."""
        gone = asyncio.ensure_future(self._gone(stream))
        try:
            yield
        finally:
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    async def _gone(self, stream: Stream) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        stream.put(None)
