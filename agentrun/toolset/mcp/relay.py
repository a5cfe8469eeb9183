"""Sends what the `mcp` package wants to send over HTTP, over our own connections, signed; and tells what went wrong.

The package's transports lose a request whose answer is not what they expect, or end their session over it. So what
cannot be had becomes an answer that they understand: an error of the protocol, whose data refers to our own one.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, TypeAlias, cast
from urllib.parse import urljoin, urlsplit

import anyio

from agentrun._core.api import USER_AGENT, error_of
from agentrun._core.foreign_http import Incoming, Outgoing
from agentrun._core.session import ByteStream, Request, Session, Timeouts
from agentrun.errors import (
    AgentRunError,
    Executed,
    InvalidResponseError,
    TransportError,
)

# The headers that authenticate one request.
Authenticate: TypeAlias = "Callable[[str, str], Awaitable[Mapping[str, str]]]"

OUR_ERROR = -32099
_FORWARDED = ("accept", "cache-control", "content-type", "last-event-id")
_JSON, _EVENTS = "application/json", "text/event-stream"
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_RESUMABLE = re.compile(rb"(?:^|[\r\n])id:")
# A call ends with its own time; an answer may be silent until then, and the stream of a server for ever.
_FOREVER = 7 * 86400.0
_SECONDS_TO_SAY_GOODBYE = 3.0
_SECONDS_TO_DRAIN = 1.0
# A server has nothing to do for what it only takes note of, and the package sends nothing else until it did.
_SECONDS_TO_TAKE_NOTE = 10.0


class Relay:
    """The HTTP side of one session.

    `lost` is called when a stream on which the server speaks of its own accord ends, `broken` when the session is over.
    """

    def __init__(
        self,
        session: Session,
        authenticate: Authenticate,
        connect_timeout: float,
        lost: Callable[[], None],
        broken: Callable[[AgentRunError], None],
    ) -> None:
        self._session = session
        self._authenticate = authenticate
        self._connect_timeout = connect_timeout
        self._lost = lost
        self._broken = broken
        self._failures: dict[int, AgentRunError] = {}
        self._numbers = count(1)
        self._is_over = False
        self._beside: set[asyncio.Task[None]] = set()
        self.last_failure: AgentRunError | None = None

    @property
    def hears(self) -> bool:
        """Whether a stream is open on which the server speaks of its own accord."""
        raise NotImplementedError

    def failure(self, data: Any) -> AgentRunError | None:
        """The error of ours to which the data of an error of the protocol refers, None when to none."""
        number = cast("dict[str, Any]", data).get("agentrun") if isinstance(data, dict) else None
        return self._failures.pop(number, None) if isinstance(number, int) else None

    async def exchange(self, request: Outgoing) -> Incoming:
        """What the package gets for its request; never raises an error of the network or of the server."""
        if request.method == "DELETE" and self._is_over:
            return _whole(204)
        try:
            stream = await self._open(request)
        except AgentRunError as error:
            return self.refused(request, error)
        return await self.answered(request, stream)

    async def answered(self, request: Outgoing, stream: ByteStream) -> Incoming:
        """What the package gets for an answer of the server."""
        raise NotImplementedError

    def refused(self, request: Outgoing, error: AgentRunError) -> Incoming:
        """What the package gets for a request that failed."""
        raise NotImplementedError

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside, until the session ends."""
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def close(self) -> None:
        """End what is done beside."""
        for task in (beside := list(self._beside)):
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)

    def error_message(self, request_id: Any, error: AgentRunError) -> bytes:
        """An error of the protocol that refers to an error of ours."""
        number = next(self._numbers)
        self._failures[number] = error
        said = {"code": OUR_ERROR, "message": error.message, "data": {"agentrun": number}}
        return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": said}).encode()

    async def _open(self, request: Outgoing) -> ByteStream:
        url = request.url
        for _ in range(_MOST_REDIRECTS):
            stream = await self._once(request, url)
            if stream.status not in _REDIRECTS:
                break
            url = await _redirected(stream, url)
        else:
            raise InvalidResponseError(f"{_shown(url)} redirects without an end")
        if stream.status >= 400:
            await self._raise(request, stream)
        return stream

    async def _once(self, request: Outgoing, url: str) -> ByteStream:
        headers = {
            name: value for name, value in request.headers.items() if name in _FORWARDED or name.startswith("mcp-")
        }
        headers |= {"user-agent": USER_AGENT, **await self._authenticate(request.method, url)}
        total = _seconds_for(request)
        times = Timeouts(total, self._connect_timeout, total)
        return await self._session.open(Request(request.method, url, headers, request.content or None, times))

    async def _raise(self, request: Outgoing, stream: ByteStream) -> None:
        error: AgentRunError = error_of(stream.status, stream.headers, await stream.read())
        known = "mcp-session-id" in request.headers
        if known and (stream.status == 404 or (stream.status == 400 and "session" in error.message.lower())):
            error = TransportError("the server does not know the session any more", executed=Executed.NO)
            self._is_over = True
        elif stream.status in (404, 405):
            error.hint = f"Check the URL: {_shown(request.url)} does not take MCP requests"
        elif stream.status == 401:
            error.hint = "Give the headers that the server asks for: headers={'Authorization': ...}"
        raise error


class StreamableRelay(Relay):
    """For the transport where each request is answered where it was sent."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._heard: set[ByteStream] = set()

    @property
    def hears(self) -> bool:
        """Whether a stream is open on which the server speaks of its own accord."""
        return bool(self._heard)

    async def answered(self, request: Outgoing, stream: ByteStream) -> Incoming:
        """The answer, when it is one of the protocol."""
        if request.method == "GET":
            return self._listened(request, stream)
        request_id = _request_id(request)
        if request_id is None:
            await stream.read()
            return _whole(202 if request.method == "POST" else stream.status)
        kind = stream.headers.get("content-type", "").lower()
        if kind.startswith(_EVENTS):
            return self._streamed(stream, lambda chunks: self._events(chunks, request_id))
        try:
            content = await stream.read()
            if kind.startswith(_JSON) and b'"jsonrpc"' in content:
                return _whole(200, content, {"content-type": _JSON, **_session_of(stream)})
            error: AgentRunError = _no_answer(request.url, stream.status, kind, content)
        except AgentRunError as broken:
            error = broken
        return self.refused(request, error)

    def refused(self, request: Outgoing, error: AgentRunError) -> Incoming:
        """An error as the answer; what needs none is taken as received."""
        self.last_failure = error
        if request.method != "POST":
            self._lost()
            if "last-event-id" in request.headers:
                self._broken(error)  # An answer was cut off, and its rest cannot be had.
            return _whole(405)
        request_id = _request_id(request)
        if request_id is None:
            return _whole(202)
        return _whole(200, self.error_message(request_id, error), {"content-type": _JSON})

    async def _events(self, chunks: AsyncIterator[bytes], request_id: Any) -> AsyncGenerator[bytes, None]:
        resumable = False
        error: AgentRunError = TransportError("the server ended its answer before the result")
        try:
            async for chunk in chunks:
                resumable = resumable or _RESUMABLE.search(chunk) is not None
                yield chunk
        except AgentRunError as broken:
            error = broken
        if not resumable:  # Else the package asks for the rest.
            yield b"\n\n" + _event(self.error_message(request_id, error))

    def _listened(self, request: Outgoing, stream: ByteStream) -> Incoming:
        if "last-event-id" not in request.headers:  # Else it may be the rest of an answer.
            self._heard.add(stream)
        incoming = self._streamed(stream, self._heard_from)

        async def close() -> None:
            # Here and not where it is read: nobody may ever have begun to read it.
            self._heard.discard(stream)
            self._lost()
            await incoming.close()

        return incoming._replace(close=close)

    async def _heard_from(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in chunks:
                yield chunk
        except AgentRunError as error:
            self.last_failure = error

    def _streamed(
        self, stream: ByteStream, read: Callable[[AsyncIterator[bytes]], AsyncGenerator[bytes, None]]
    ) -> Incoming:
        chunks = aiter(stream)
        body = read(chunks)

        async def close() -> None:
            with suppress(RuntimeError):  # Somebody reads from it still, and is told by the closed stream.
                await body.aclose()
            self.do(_drained(stream, chunks))

        return Incoming(stream.status, {"content-type": _EVENTS, **_session_of(stream)}, body, close)


class SseRelay(Relay):
    """For the transport where all answers come on one stream, and so do our errors, between two events."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._news: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._dialled: ByteStream | None = None

    @property
    def hears(self) -> bool:
        """True: the session ends with its stream."""
        return True

    async def dial(self, url: str) -> None:
        """Open the stream that the package will ask for; raises why it cannot be opened.

        Before the package does, because what it had made leaks when that fails.
        """
        stream = await self._open(Outgoing("GET", url, {"accept": _EVENTS, "cache-control": "no-store"}, b""))
        kind = stream.headers.get("content-type", "").lower()
        if not kind.startswith(_EVENTS):
            raise _no_answer(url, stream.status, kind, await stream.read())
        self._dialled = stream

    async def _open(self, request: Outgoing) -> ByteStream:
        dialled, self._dialled = self._dialled, None
        return dialled or await super()._open(request)

    async def close(self) -> None:
        """End what is done beside."""
        await super().close()
        if self._dialled is not None:
            await self._dialled.close()

    async def answered(self, request: Outgoing, stream: ByteStream) -> Incoming:
        """The stream, or that a message was received."""
        if request.method != "GET":
            self.do(_drained(stream, aiter(stream)))  # Closed at once, each message would need a connection of its own.
            return _whole(202)
        self.do(self._pumped(stream))
        return Incoming(200, {"content-type": _EVENTS}, self._events(), self.close)

    def refused(self, request: Outgoing, error: AgentRunError) -> Incoming:
        """No stream; or an error on it."""
        self.last_failure = error
        if request.method == "GET":
            return _whole(getattr(error, "status_code", 0) or 502)
        request_id = _request_id(request)
        if request_id is not None:
            self._news.put_nowait(_event(self.error_message(request_id, error)))
        return _whole(202)

    async def _pumped(self, stream: ByteStream) -> None:
        held = b""
        try:
            async for chunk in stream:
                whole, held = _cut(held + chunk)
                if whole:
                    self._news.put_nowait(whole)
        except AgentRunError as error:
            self.last_failure = error
        finally:
            await stream.close()
        self._news.put_nowait(None)

    async def _events(self) -> AsyncIterator[bytes]:
        while (news := await self._news.get()) is not None:
            yield news


def _seconds_for(request: Outgoing) -> float:
    if request.method == "DELETE":
        return _SECONDS_TO_SAY_GOODBYE
    is_note = request.method == "POST" and _request_id(request) is None
    return _SECONDS_TO_TAKE_NOTE if is_note else _FOREVER


def _request_id(request: Outgoing) -> Any:
    """The id of a request that waits for an answer, None for anything else."""
    if request.method != "POST":
        return None
    message = json.loads(request.content)
    return message.get("id") if "method" in message else None


def _event(message: bytes) -> bytes:
    return b"event: message\ndata: " + message + b"\n\n"


async def _drained(stream: ByteStream, chunks: AsyncIterator[bytes]) -> None:
    """Read the end that belongs to an answer, so that its connection can be used again; if it comes soon."""
    try:
        with anyio.move_on_after(_SECONDS_TO_DRAIN):
            async for _ in chunks:
                pass
    except (AgentRunError, RuntimeError):
        pass
    finally:
        await stream.close()


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """Whole events, and the beginning of the next one."""
    end = max((data.rfind(mark) + len(mark) for mark in _EVENT_ENDS if mark in data), default=0)
    return data[:end], data[end:]


def _whole(status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> Incoming:
    async def body() -> AsyncIterator[bytes]:
        yield content

    async def close() -> None:
        pass

    return Incoming(status, headers or {}, body(), close)


def _session_of(stream: ByteStream) -> dict[str, str]:
    found = stream.headers.get("mcp-session-id")
    return {"mcp-session-id": found} if found else {}


def _shown(url: str) -> str:
    """A URL for messages, without the secrets that it may hold."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _no_answer(url: str, status: int, kind: str, content: bytes) -> InvalidResponseError:
    said = kind.partition(";")[0] or ("other content" if content else "no content")
    return InvalidResponseError(
        f"{_shown(url)} is no MCP server: it answered status {status} with {said}",
        hint="Check the URL and the transport: 'streamable_http' or 'sse'",
    )


async def _redirected(stream: ByteStream, url: str) -> str:
    """Where a redirect leads; raises InvalidResponseError unless our request may follow with its secrets."""
    await stream.read()
    target = urljoin(url, stream.headers.get("location", ""))
    here, there = urlsplit(url), urlsplit(target)
    if stream.status in (307, 308) and (here.scheme, here.netloc) == (there.scheme, there.netloc):
        return target
    raise InvalidResponseError(
        f"{_shown(url)} redirects to {_shown(target)}, which is not followed", hint="Give that URL if you trust it"
    )
