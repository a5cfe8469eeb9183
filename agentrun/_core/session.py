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
import ssl
import threading
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
)
from dataclasses import dataclass, field
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

import httpx

from agentrun._core.blocking import is_blocking
from agentrun._core.deadline import DeadlineTransport, within
from agentrun._core.retry import Answer, with_retries
from agentrun.errors import (
    AgentRunError,
    BlockingError,
    ConfigError,
    ConnectError,
    Executed,
    InvalidInputError,
    InvalidResponseError,
    RequestTimeoutError,
    TransportError,
)

Transport: TypeAlias = "httpx.BaseTransport | httpx.AsyncBaseTransport"
Content: TypeAlias = "bytes | Iterable[bytes] | AsyncIterable[bytes] | None"

A = TypeVar("A", bound=Answer)

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


@lru_cache(maxsize=4)
def _certificates(file: str | None, directory: str | None) -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            f"cannot read the certificates to trust: {error}", hint="Check SSL_CERT_FILE and SSL_CERT_DIR"
        ) from error


def _trust() -> ssl.SSLContext:
    # Loading them takes longer than a whole call, and every client needs them.
    return _certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


class _BlockingClient(httpx.Client):
    def _init_transport(self, *arguments: Any, **options: Any) -> httpx.BaseTransport:
        # To pass a transport would switch off the proxies that the environment names.
        return options.get("transport") or DeadlineTransport(_trust(), _LIMITS)


@contextlib.contextmanager
def _settings_checked() -> Generator[None, None, None]:
    """What httpx says about proxies that it cannot use, as an error of our tree."""
    try:
        yield
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        if isinstance(error, AgentRunError):
            raise
        raise ConfigError(f"the proxy settings cannot be used: {error}", hint="Check the *_PROXY variables") from error


class ByteStream:
    """The body of an answer as it arrives; close it when not reading to the end."""

    def __init__(self, response: httpx.Response, deadline: float | None) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._deadline = deadline
        self._blocking = is_blocking()

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
                for chunk in self._response.iter_bytes():
                    self._check_deadline()
                    yield chunk
            else:
                async for chunk in self._response.aiter_bytes():
                    self._check_deadline()
                    yield chunk
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise translated(error) from error
        finally:
            await self.close()

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
            raise translated(error) from error

    async def close(self) -> None:
        """Give the connection back; calling it twice is allowed."""
        if self._blocking:
            self._response.close()
        else:
            self.require_mode(is_blocking())
            await self._response.aclose()


def translated(error: Exception) -> AgentRunError:
    """The error of our tree for one of httpx."""
    text = str(error) or type(error).__name__
    request = getattr(error, "_request", None)
    where = f"{request.url.scheme}://{request.url.netloc.decode()}" if request is not None else "the service"
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


class _LoopClient(NamedTuple):
    client: httpx.AsyncClient
    guard: AsyncGenerator[None, None]


class Session:
    """Pooled connections over one transport; see the module's text."""

    def __init__(self, transport: Transport | None = None) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._sync: httpx.Client | None = None
        self._async: dict[asyncio.AbstractEventLoop, _LoopClient] = {}

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
        timeouts = request.timeouts
        read = timeouts.read if deadline is None else min(timeouts.read, max(deadline - time.monotonic(), 0.001))
        timeout = httpx.Timeout(read, connect=min(timeouts.connect, timeouts.total), pool=timeouts.connect)
        try:
            response = await self._exchange(request, headers, timeout)
        except httpx.HTTPError as error:
            raise translated(error) from error
        except httpx.InvalidURL as error:
            raise InvalidInputError(f"{request.url!r} is not a URL that can be called: {error}") from error
        except UnicodeError as error:
            raise InvalidInputError(f"a header or the URL has characters that cannot be sent: {error}") from error
        log.debug("%s %s %s", request.method, request.url.partition("?")[0], response.status_code)
        return ByteStream(response, deadline)

    async def _exchange(self, request: Request, headers: Mapping[str, str], timeout: httpx.Timeout) -> httpx.Response:
        content: Any = request.content
        if is_blocking():
            if isinstance(request.content, AsyncIterable):
                raise BlockingError("the content is asynchronous, the call is not", hint="Give bytes or an iterable")
            client = self._blocking_client()
            built = client.build_request(request.method, request.url, content=content, headers=headers, timeout=timeout)
            return client.send(built, stream=True)
        async_client = await self._loop_client()
        if not isinstance(request.content, (bytes, AsyncIterable, type(None))):
            content = _in_steps(request.content)
        built = async_client.build_request(
            request.method, request.url, content=content, headers=headers, timeout=timeout
        )
        return await async_client.send(built, stream=True)

    # Clients

    def _blocking_client(self) -> httpx.Client:
        with self._lock:
            if self._sync is None:
                self._sync = self._new_blocking_client()
            return self._sync

    def _new_blocking_client(self) -> httpx.Client:
        transport = self._transport
        if transport is not None and not isinstance(transport, httpx.BaseTransport):
            raise _wrong_mode("synchronous")
        direct = transport or DeadlineTransport(_trust(), _LIMITS)
        with _settings_checked():
            return _BlockingClient(
                transport=transport,
                verify=_trust(),
                limits=_LIMITS,
                cookies=_no_cookies(),
                mounts=dict.fromkeys(_LOOPBACK, direct),
            )

    async def _loop_client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        found = self._async.get(loop)
        if found is None:
            client = self._new_loop_client()
            found = _LoopClient(client, self._closed_with(loop, client))
            with self._lock:
                self._async[loop] = found
            await anext(found.guard)
        return found.client

    def _new_loop_client(self) -> httpx.AsyncClient:
        transport = self._transport
        if transport is not None and not isinstance(transport, httpx.AsyncBaseTransport):
            raise _wrong_mode("asynchronous")
        direct = transport or httpx.AsyncHTTPTransport(verify=_trust(), limits=_LIMITS)
        with _settings_checked():
            return httpx.AsyncClient(
                transport=transport,
                verify=_trust(),
                limits=_LIMITS,
                cookies=_no_cookies(),
                mounts=dict.fromkeys(_LOOPBACK, direct),
            )

    async def _closed_with(
        self, loop: asyncio.AbstractEventLoop, client: httpx.AsyncClient
    ) -> AsyncGenerator[None, None]:
        # A loop that ends closes the generators that were started on it: that is how it closes our connections, and
        # how we learn that it is gone.
        try:
            yield
        finally:
            with self._lock:
                self._async.pop(loop, None)
            await client.aclose()

    # Ending

    def close(self) -> None:
        """Close the blocking client's connections; the next call opens new ones."""
        with self._lock:
            client, self._sync = self._sync, None
        if client is not None:
            client.close()

    async def close_async(self) -> None:
        """Close the connections of the running event loop; the next call opens new ones."""
        found = self._async.get(asyncio.get_running_loop())
        if found is not None:
            await found.guard.aclose()

    def forget(self) -> None:
        """Drop all clients without closing them: after a fork their sockets belong to the parent."""
        self._lock = threading.Lock()
        _inherited.extend((self._sync, self._async))
        self._sync = None
        self._async = {}


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
def errors_translated() -> Generator[None, None, None]:
    """Turn what httpx raises inside the block into errors of our tree."""
    try:
        yield
    except httpx.HTTPError as error:
        raise translated(error) from error
