"""The pooled HTTP connections: with `transports`, the only place that knows httpx.

A `Session` holds blocking connections and asynchronous ones for each event loop, and uses those that fit how the code
was called (`blocking.is_blocking`). Sessions are shared by everything that reaches the network the same way, so calls
made with different Configs reuse each other's connections. After a fork a child starts with connections of its own.
"""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import httpx

from agentrun._core.blocking import is_blocking
from agentrun._core.deadline import within
from agentrun._core.retry import Answer, with_retries
from agentrun._core.transports import Given, Network, Transport
from agentrun.errors import (
    AgentRunError,
    BlockingError,
    ConnectError,
    Executed,
    InvalidInputError,
    InvalidResponseError,
    RequestTimeoutError,
    TransportError,
)

Content: TypeAlias = "bytes | Iterable[bytes] | AsyncIterable[bytes] | None"

A = TypeVar("A", bound=Answer)

log = logging.getLogger("agentrun")

_ACCEPTED = (b"accept-encoding", b"gzip, deflate")
_READS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Timeouts:
    """Seconds: for the whole call, for making a connection, of silence between two pieces of an answer."""

    total: float = 600.0
    connect: float = 10.0
    read: float = 100.0


@dataclass
class Request:
    """A request before it is signed; `url` is complete and percent-encoded."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    content: Content = None
    timeouts: Timeouts = Timeouts()
    retries: int = 0

    @property
    def reads_only(self) -> bool:
        """Whether carrying it out twice changes nothing."""
        return self.method in _READS

    @property
    def repeatable(self) -> bool:
        """Whether its content can be sent a second time."""
        return self.content is None or isinstance(self.content, bytes)


@dataclass
class Reply:
    """A whole answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


Signer: TypeAlias = "Callable[[Request], Mapping[str, str]]"


class ByteStream:
    """The body of an answer as it arrives; close it when not reading to the end."""

    def __init__(self, response: httpx.Response, origin: str, deadline: float | None) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._origin = origin
        self._deadline = deadline
        self._blocking = is_blocking()

    @property
    def connection(self) -> Any:
        """The bare connection, once the server has switched protocols; None when the transport keeps it to itself."""
        return self._response.extensions.get("network_stream")

    def require_mode(self, blocking: bool) -> None:
        """Raise BlockingError unless the stream was opened in this mode."""
        if self._blocking is not blocking:
            raise BlockingError(
                "this stream was opened in the other mode",
                hint="Read with `for` what a synchronous call opened, and with `async for` what was awaited",
            )

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.require_mode(is_blocking())
        try:
            if self._blocking:
                for chunk in self._response.iter_raw() if self._as_sent else self._response.iter_bytes():
                    self._check_deadline()
                    yield chunk
            else:
                async for chunk in self._response.aiter_raw() if self._as_sent else self._response.aiter_bytes():
                    self._check_deadline()
                    yield chunk
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise translated(error, self._origin) from error
        finally:
            await self.close()

    @property
    def _as_sent(self) -> bool:
        # httpx's decoding reader goes over each piece twice; most answers need no decoding.
        return not self._response.is_stream_consumed and "content-encoding" not in self._response.headers

    def _check_deadline(self) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise RequestTimeoutError("the answer was not complete in the time given", hint="Raise Config(timeout=...)")

    async def read(self) -> bytes:
        """The rest of the body in one piece."""
        return b"".join([chunk async for chunk in self])

    async def buffer(self) -> None:
        """Read the body now and give the connection back; it can be read from here afterwards."""
        try:
            _ = self._response.read() if self._blocking else await self._response.aread()
        except httpx.HTTPError as error:
            raise translated(error, self._origin) from error

    async def close(self) -> None:
        """Give the connection back; calling it twice is allowed."""
        if self._blocking:
            self._response.close()
        else:
            self.require_mode(is_blocking())
            await self._response.aclose()


def translated(error: Exception, where: str) -> AgentRunError:
    """The error of our tree for one of httpx; `where` is the server's scheme and host."""
    text = str(error) or type(error).__name__
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)):
        return ConnectError(f"cannot reach {where}: {text}", hint="Check the endpoint and the network")
    if isinstance(error, httpx.TimeoutException):
        hint = "Raise Config(timeout=..., read_timeout=...)"
        return RequestTimeoutError(f"no answer from {where} in time", hint=hint)
    if isinstance(error, httpx.LocalProtocolError):
        return TransportError(f"this cannot be sent to {where}: {text}", executed=Executed.NO)
    if isinstance(error, httpx.DecodingError):
        return InvalidResponseError(f"the answer of {where} cannot be decoded: {text}")
    if isinstance(error, httpx.StreamError):
        return TransportError("this stream was closed before it was read to its end")
    return TransportError(f"the connection to {where} broke: {text}")


class Session:
    """Sends requests over the network, or over a transport of the caller's; see the module's text."""

    def __init__(self, transport: Transport | Network | None = None) -> None:
        if isinstance(transport, Network):
            self.wire: Network | Given = transport
        else:
            self.wire = Network() if transport is None else Given(transport)

    # Sending

    async def send(self, request: Request, sign: Signer | None = None) -> Reply:
        """The whole answer, whatever its status; raises an error of the tree when there is none."""
        deadline = time.monotonic() + request.timeouts.total

        async def attempt() -> Reply:
            stream = await self._open(request, sign, deadline)
            return Reply(stream.status, stream.headers, await stream.read())

        return await within(request.timeouts.total, self._repeated(attempt, request, deadline))

    async def open(self, request: Request, sign: Signer | None = None) -> ByteStream:
        """The answer with its body still to come; `timeouts.total` bounds only the wait for its head."""
        deadline = time.monotonic() + request.timeouts.total

        async def attempt() -> ByteStream:
            stream = await self._open(request, sign, None)
            if stream.status >= 400:
                await stream.buffer()  # Whether it is raised or sent again, nobody reads it as a stream.
            return stream

        return await within(request.timeouts.total, self._repeated(attempt, request, deadline))

    async def _repeated(self, attempt: Callable[[], Awaitable[A]], request: Request, deadline: float) -> A:
        retries = request.retries if request.repeatable else 0
        return await with_retries(attempt, reads_only=request.reads_only, retries=retries, deadline=deadline)

    async def _open(self, request: Request, sign: Signer | None, deadline: float | None) -> ByteStream:
        headers = {**request.headers, **sign(request)} if sign else request.headers
        origin = _origin(request.url)
        try:
            response = await self._exchange(_built(request, headers, deadline))
        except httpx.HTTPError as error:
            raise translated(error, origin) from error
        except httpx.InvalidURL as error:
            raise InvalidInputError(f"{request.url!r} is not a URL that can be called: {error}") from error
        except UnicodeError as error:
            raise InvalidInputError(f"a header or the URL has characters that cannot be sent: {error}") from error
        log.debug("%s %s%s %s", request.method, origin, _path(request.url), response.status_code)
        return ByteStream(response, origin, deadline)

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        if is_blocking():
            return self.wire.exchange_in_place(request)
        return await self.wire.exchange_awaited(request)

    # Ending

    def close(self) -> None:
        """Close the connections of synchronous calls; the next one opens new ones."""
        self.wire.close_in_place()

    async def close_async(self) -> None:
        """Close the connections of the running event loop; the next call opens new ones."""
        await self.wire.close_loop()


def _origin(url: str) -> str:
    """The scheme and host of a URL, for messages: without the user and password that it may hold."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"


def _path(url: str) -> str:
    return "/" + url.partition("://")[2].partition("/")[2].partition("?")[0]


def _built(request: Request, headers: Mapping[str, str], deadline: float | None) -> httpx.Request:
    content: Any = request.content
    if is_blocking():
        if isinstance(request.content, AsyncIterable):
            raise BlockingError("the content is asynchronous, the call is not", hint="Give bytes or an iterable")
    elif not isinstance(request.content, (bytes, AsyncIterable, type(None))):
        content = _in_steps(request.content)
    fields = [_ACCEPTED, *((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items())]
    return httpx.Request(
        request.method,
        _parsed(request.url),
        headers=fields,
        content=content,
        extensions={"timeout": _times(request, deadline)},
    )


@lru_cache(maxsize=512)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _times(request: Request, deadline: float | None) -> dict[str, float]:
    times = request.timeouts
    read = times.read if deadline is None else min(times.read, max(deadline - time.monotonic(), 0.001))
    return {"connect": min(times.connect, times.total), "read": read, "write": read, "pool": times.connect}


async def _in_steps(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in content:
        yield chunk


_network = Session()
atexit.register(_network.close)


def session_for(transport: Transport | None) -> Session:
    """The session of a transport of the caller's, or the shared one that uses the network."""
    return _network if transport is None else Session(transport)
