"""The pooled HTTP connections; the only file that knows httpx.

A `Session` holds one blocking client and one asynchronous client per event loop, and uses the one that fits how the
code was called (`blocking.is_blocking`). Sessions are shared by everything that reaches the network the same way, so
calls made with different Configs reuse each other's connections. After a fork a child starts with clients of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

import anyio
import httpx

from agentrun._core.blocking import is_blocking
from agentrun._core.retry import with_retries
from agentrun.errors import (
    AgentRunError,
    BlockingError,
    ConnectError,
    Executed,
    InvalidInputError,
    RequestTimeoutError,
    TransportError,
)

Transport: TypeAlias = "httpx.BaseTransport | httpx.AsyncBaseTransport"
Content: TypeAlias = "bytes | Iterable[bytes] | AsyncIterable[bytes] | None"

T = TypeVar("T")

log = logging.getLogger("agentrun")

# httpx's own default of five seconds is as short as many servers' keep-alive, which makes reuse a race.
_LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=30.0)
_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")
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


def _no_cookies() -> CookieJar:
    # Connections are shared between accounts; a cookie must not travel from one to the other.
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))


def _wrong_mode(kind: str) -> InvalidInputError:
    return InvalidInputError(f"the transport cannot make {kind} calls", field="transport")


class ByteStream:
    """The body of an answer as it arrives; close it when not reading to the end."""

    def __init__(self, response: httpx.Response, deadline: float | None) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._deadline = deadline
        self._blocking = is_blocking()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            if self._blocking:
                for chunk in self._response.iter_bytes():
                    self._check_deadline()
                    yield chunk
            else:
                async for chunk in self._response.aiter_bytes():
                    self._check_deadline()
                    yield chunk
        except httpx.HTTPError as error:
            raise translated(error, sent=True) from error
        finally:
            await self.close()

    def _check_deadline(self) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise RequestTimeoutError("the answer was not complete in the time given", hint="Raise Config(timeout=...)")

    async def read(self) -> bytes:
        """The rest of the body in one piece."""
        return b"".join([chunk async for chunk in self])

    async def close(self) -> None:
        """Give the connection back; calling it twice is allowed."""
        if self._blocking:
            self._response.close()
        elif is_blocking():
            raise BlockingError("this stream belongs to an event loop", hint="Use async for, or the synchronous method")
        else:
            await self._response.aclose()


def translated(error: Exception, *, sent: bool = True) -> AgentRunError:
    """The error of our tree for one of httpx."""
    text = str(error) or type(error).__name__
    request = getattr(error, "_request", None)
    where = f" {request.url.scheme}://{request.url.netloc.decode()}" if request is not None else ""
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)):
        return ConnectError(f"cannot reach{where}: {text}", hint="Check the endpoint and the network")
    if isinstance(error, httpx.TimeoutException):
        return RequestTimeoutError(f"no answer from{where} in time", hint="Raise Config(timeout=..., read_timeout=...)")
    return TransportError(f"the connection to{where} broke: {text}", executed=Executed.UNKNOWN if sent else Executed.NO)


class Session:
    """Pooled connections over one transport; see the module's text."""

    def __init__(self, transport: Transport | None = None) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._sync: httpx.Client | None = None
        self._async: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    # Sending

    async def send(self, request: Request, sign: Signer | None = None) -> Reply:
        """The whole answer, whatever its status; raises an error of the tree when there is none."""
        deadline = time.monotonic() + request.timeouts.total

        async def attempt() -> Reply:
            stream = await self._open(request, sign, deadline)
            return Reply(stream.status, stream.headers, await stream.read())

        return await self._bounded(self._repeated(attempt, request, deadline), request.timeouts.total)

    async def open(self, request: Request, sign: Signer | None = None) -> ByteStream:
        """The answer with its body still to come; `timeouts.total` bounds only the wait for its head."""
        deadline = time.monotonic() + request.timeouts.total
        return await self._repeated(lambda: self._open(request, sign, None), request, deadline)

    async def _repeated(self, attempt: Callable[[], Awaitable[T]], request: Request, deadline: float) -> T:
        retries = request.retries if request.repeatable else 0
        return await with_retries(attempt, reads_only=request.reads_only, retries=retries, deadline=deadline)

    async def _bounded(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        if is_blocking():
            return await work
        with anyio.move_on_after(seconds):
            return await work
        raise RequestTimeoutError(f"no complete answer in {seconds:g} s", hint="Raise Config(timeout=...)")

    async def _open(self, request: Request, sign: Signer | None, deadline: float | None) -> ByteStream:
        headers = {**request.headers, **sign(request)} if sign else request.headers
        timeouts = request.timeouts
        read = timeouts.read if deadline is None else min(timeouts.read, max(deadline - time.monotonic(), 0.001))
        timeout = httpx.Timeout(read, connect=min(timeouts.connect, timeouts.total), pool=timeouts.connect)
        try:
            response = await self._exchange(request, headers, timeout)
        except httpx.HTTPError as error:
            raise translated(error) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise InvalidInputError(f"{request.url!r} is not a URL that can be called: {error}") from error
        log.debug("%s %s %s", request.method, request.url.partition("?")[0], response.status_code)
        return ByteStream(response, deadline)

    async def _exchange(self, request: Request, headers: Mapping[str, str], timeout: httpx.Timeout) -> httpx.Response:
        content: Any = request.content
        if is_blocking():
            client = self._blocking_client()
            built = client.build_request(request.method, request.url, content=content, headers=headers, timeout=timeout)
            return client.send(built, stream=True)
        async_client = self._loop_client()
        if content is not None and not isinstance(content, (bytes, AsyncIterable)):
            content = _in_steps(content)
        built = async_client.build_request(
            request.method, request.url, content=content, headers=headers, timeout=timeout
        )
        return await async_client.send(built, stream=True)

    # Clients

    def _blocking_client(self) -> httpx.Client:
        with self._lock:
            if self._sync is None:
                if self._transport is not None and not isinstance(self._transport, httpx.BaseTransport):
                    raise _wrong_mode("synchronous")
                self._sync = httpx.Client(
                    transport=self._transport,
                    limits=_LIMITS,
                    cookies=_no_cookies(),
                    mounts={} if self._transport else {host: httpx.HTTPTransport(limits=_LIMITS) for host in _LOOPBACK},
                )
            return self._sync

    def _loop_client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        client = self._async.get(loop)
        if client is None:
            client = self._new_loop_client()
            with self._lock:
                self._async[loop] = client
        return client

    def _new_loop_client(self) -> httpx.AsyncClient:
        transport = self._transport
        if transport is not None and not isinstance(transport, httpx.AsyncBaseTransport):
            raise _wrong_mode("asynchronous")
        return httpx.AsyncClient(
            transport=transport,
            limits=_LIMITS,
            cookies=_no_cookies(),
            mounts={} if transport else {host: httpx.AsyncHTTPTransport(limits=_LIMITS) for host in _LOOPBACK},
        )

    # Ending

    def close(self) -> None:
        """Close the blocking client's connections; the next call opens new ones."""
        with self._lock:
            client, self._sync = self._sync, None
        if client is not None:
            client.close()

    async def close_async(self) -> None:
        """Close the connections of the running event loop; the next call opens new ones."""
        with self._lock:
            client = self._async.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def forget(self) -> None:
        """Drop all clients without closing them: after a fork their sockets belong to the parent."""
        self._lock = threading.Lock()
        _inherited.extend((self._sync, dict(self._async)))
        self._sync = None
        self._async = WeakKeyDictionary()


async def _in_steps(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in content:
        yield chunk


_lock = threading.Lock()
_default: Session | None = None
_by_transport: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()
_sessions: WeakValueDictionary[int, Session] = WeakValueDictionary()
# What a child inherited over a fork stays referenced: collecting it would close or disturb the parent's connections.
_inherited: list[Any] = []


def session_for(transport: Transport | None) -> Session:
    """The session of a transport, or the one that uses the network."""
    global _default
    with _lock:
        session = _default if transport is None else _by_transport.get(transport)
        if session is None:
            session = Session(transport)
            _sessions[id(session)] = session
            if transport is None:
                _default = session
            else:
                _by_transport[transport] = session
        return session


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for session in list(_sessions.values()):
        session.forget()


os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def errors_translated() -> Iterator[None]:
    """Turn what httpx raises inside the block into errors of our tree."""
    try:
        yield
    except httpx.HTTPError as error:
        raise translated(error) from error
