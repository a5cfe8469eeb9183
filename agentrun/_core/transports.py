"""Which way a request takes: straight, through a proxy that the environment names, or over the caller's transport.

These are httpx's transports without its client, whose cookies, redirects and merging of settings we have no use for
and would pay for with every call.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import httpcore
import httpx

from agentrun._core import heads
from agentrun._core.deadline import seconds_left
from agentrun._core.heads import LoopNetwork
from agentrun._core.pool import LoopPool
from agentrun.errors import AgentRunError, ConfigError, InvalidInputError

Transport: TypeAlias = "httpx.BaseTransport | httpx.AsyncBaseTransport"

W = TypeVar("W")

# httpx's own default of five seconds is as short as many servers' keep-alive, which makes reuse a race.
_LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=30.0)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@lru_cache(maxsize=4)
def _certificates(file: str | None, directory: str | None) -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            f"cannot read the certificates to trust: {error}", hint="Check SSL_CERT_FILE and SSL_CERT_DIR"
        ) from error


def trusted() -> ssl.SSLContext:
    """The certificates to trust."""
    # Loading them takes longer than a whole call, and every transport needs them.
    return _certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def _proxy(scheme: str, host: str) -> str | None:
    """The proxy that the environment names for a URL, never one for this machine itself."""
    if host in _LOOPBACK:
        return None
    proxies = getproxies()
    found = proxies.get(scheme) or proxies.get("all")
    if not found or proxy_bypass(host):
        return None
    return found if "://" in found else f"http://{found}"


class Ways(Generic[W]):
    """The transports of one mode: one for each proxy, made when first needed, and the one that uses none."""

    def __init__(self, make: Callable[[str | None], W]) -> None:
        self._make = make
        self._transports: dict[str | None, W] = {}
        self._origins: dict[tuple[str, str], W] = {}

    def to(self, url: httpx.URL) -> W:
        """The transport for a URL; raises ConfigError when the environment names a proxy that cannot be used."""
        origin = (url.scheme, url.host)
        found = self._origins.get(origin)
        if found is None:
            found = self._origins[origin] = self._through(_proxy(*origin))
        return found

    def all(self) -> list[W]:
        """Every transport that was made."""
        return list(self._transports.values())

    def _through(self, proxy: str | None) -> W:
        if proxy not in self._transports:
            try:
                self._transports[proxy] = self._make(proxy)
            except (ValueError, ImportError, httpx.InvalidURL) as error:
                if isinstance(error, AgentRunError):
                    raise
                raise ConfigError(
                    f"the proxy settings cannot be used: {error}", hint="Check the *_PROXY variables"
                ) from error
        return self._transports[proxy]


def _blocking_transport(proxy: str | None) -> httpx.BaseTransport:
    """A transport that waits in place."""
    if proxy:
        return httpx.HTTPTransport(verify=trusted(), limits=_LIMITS, proxy=proxy)
    return DeadlineTransport(trusted(), _LIMITS)


def _loop_transport(proxy: str | None) -> httpx.AsyncBaseTransport:
    """A transport for an event loop."""
    if proxy:
        return httpx.AsyncHTTPTransport(verify=trusted(), limits=_LIMITS, proxy=proxy)
    return LoopTransport(trusted(), _LIMITS)


class _LoopWays(NamedTuple):
    ways: Ways[httpx.AsyncBaseTransport]
    guard: AsyncGenerator[None, None]


class Network:
    """The network: blocking connections, and asynchronous ones for each event loop; all of them are kept for reuse.

    `blocking` and `on_loop` make a transport for a proxy, or for None.
    """

    def __init__(
        self,
        blocking: Callable[[str | None], httpx.BaseTransport] | None = None,
        on_loop: Callable[[str | None], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._make_blocking = blocking or _blocking_transport
        self._make_on_loop = on_loop or _loop_transport
        self._lock = threading.Lock()
        self._sync: Ways[httpx.BaseTransport] = Ways(self._make_blocking)
        self._async: dict[asyncio.AbstractEventLoop, _LoopWays] = {}
        _networks.add(self)

    def exchange_in_place(self, request: httpx.Request) -> httpx.Response:
        """Send a request and wait in place for the head of its answer."""
        return self._sync.to(request.url).handle_request(request)

    async def exchange_awaited(self, request: httpx.Request) -> httpx.Response:
        """Send a request and await the head of its answer."""
        ways = await self._loop_ways()
        return await ways.to(request.url).handle_async_request(request)

    async def _loop_ways(self) -> Ways[httpx.AsyncBaseTransport]:
        loop = asyncio.get_running_loop()
        found = self._async.get(loop)
        if found is None:
            ways = Ways(self._make_on_loop)
            found = _LoopWays(ways, self._closed_with(loop, ways))
            with self._lock:
                self._async[loop] = found
            await anext(found.guard)
        return found.ways

    async def _closed_with(
        self, loop: asyncio.AbstractEventLoop, ways: Ways[httpx.AsyncBaseTransport]
    ) -> AsyncGenerator[None, None]:
        # A loop that ends closes the generators that were started on it: that is how it closes our connections, and
        # how we learn that it is gone.
        try:
            yield
        finally:
            with self._lock:
                self._async.pop(loop, None)
            for transport in ways.all():
                await transport.aclose()

    def close_in_place(self) -> None:
        """Close the blocking connections."""
        with self._lock:
            ways, self._sync = self._sync, Ways(self._make_blocking)
        for transport in ways.all():
            transport.close()

    async def close_loop(self) -> None:
        """Close the connections of the running event loop."""
        found = self._async.get(asyncio.get_running_loop())
        if found is not None:
            await found.guard.aclose()

    def forget(self) -> None:
        """Drop all connections without closing them: after a fork they belong to the parent."""
        self._lock = threading.Lock()
        _inherited.extend((self._sync, self._async))
        self._sync = Ways(self._make_blocking)
        self._async = {}


class Given:
    """A transport of the caller's own; it is closed only when the caller says so."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def exchange_in_place(self, request: httpx.Request) -> httpx.Response:
        """Send a request and wait in place for the head of its answer."""
        if not isinstance(self._transport, httpx.BaseTransport):
            raise InvalidInputError("the transport cannot make synchronous calls", field="transport")
        return self._transport.handle_request(request)

    async def exchange_awaited(self, request: httpx.Request) -> httpx.Response:
        """Send a request and await the head of its answer."""
        if not isinstance(self._transport, httpx.AsyncBaseTransport):
            raise InvalidInputError("the transport cannot make asynchronous calls", field="transport")
        return await self._transport.handle_async_request(request)

    def close_in_place(self) -> None:
        """Close the transport's blocking side."""
        if isinstance(self._transport, httpx.BaseTransport):
            self._transport.close()

    async def close_loop(self) -> None:
        """Close the transport's asynchronous side."""
        if isinstance(self._transport, httpx.AsyncBaseTransport):
            await self._transport.aclose()


_networks: WeakSet[Network] = WeakSet()
# What a child inherited over a fork stays referenced: collecting it would close or disturb the parent's connections.
_inherited: list[object] = []


def _after_fork() -> None:
    for network in list(_networks):
        network.forget()


os.register_at_fork(after_in_child=_after_fork)


def _left(timeout: float | None, expired: type[httpcore.TimeoutException]) -> float | None:
    left = seconds_left()
    if left is None:
        return timeout
    if left <= 0:
        raise expired("the time for the whole call is over")
    return left if timeout is None else min(timeout, left)


class _Connection(httpcore.NetworkStream):
    """A connection whose reads and writes end with the call that makes them."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if piece := heads.joined(buffer):
            self._stream.write(piece, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Connection(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class BlockingNetwork(httpcore.SyncBackend):
    """Connections that end with the call that uses them."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect."""
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Connection(super().connect_tcp(host, port, left, local_address, socket_options))


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's blocking transport, over connections that end with the call."""

    def __init__(self, trust: ssl.SSLContext, limits: httpx.Limits, network: BlockingNetwork | None = None) -> None:
        super().__init__(verify=trust, limits=limits)
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=network or BlockingNetwork(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        with heads.waiting(request):
            return super().handle_request(request)


class LoopTransport(httpx.AsyncHTTPTransport):
    """httpx's transport for an event loop, with a pool that stays quick however many requests there are at once."""

    def __init__(self, trust: ssl.SSLContext, limits: httpx.Limits, network: LoopNetwork | None = None) -> None:
        super().__init__(verify=trust, limits=limits)
        self._pool = cast("Any", LoopPool(trust, limits, network))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        with heads.waiting(request):
            return await super().handle_async_request(request)
