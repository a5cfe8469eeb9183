"""Ends a call when its time is over, in both modes.

httpx bounds the silence between two pieces of an answer, so an answer that trickles could last for ever. On an event
loop the work is cancelled. In blocking mode there is nobody to cancel it, so the sockets look at the time themselves.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Coroutine, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import anyio
import httpcore
import httpx

from agentrun._core.blocking import is_blocking
from agentrun.errors import RequestTimeoutError

T = TypeVar("T")

_deadline: ContextVar[float | None] = ContextVar("agentrun_deadline", default=None)


@contextmanager
def _until(deadline: float) -> Generator[None, None, None]:
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; raises RequestTimeoutError when it takes longer."""
    if is_blocking():
        with _until(time.monotonic() + seconds):
            return await work
    with anyio.move_on_after(seconds):
        return await work
    raise RequestTimeoutError(f"no complete answer in {seconds:g} s", hint="Raise Config(timeout=...)")


def _left(timeout: float | None, expired: type[httpcore.TimeoutException]) -> float | None:
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    left = deadline - time.monotonic()
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
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Connection(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Connection(super().connect_tcp(host, port, left, local_address, socket_options))


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's blocking transport, over connections that end with the call."""

    def __init__(self, trust: ssl.SSLContext, limits: httpx.Limits) -> None:
        super().__init__(verify=trust, limits=limits)
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Network(),
        )
