"""The way out: an HTTP proxy that lets what runs inside reach what its network policy allows, and nothing else.

It answers CONNECT and absolute-form requests. Names are resolved here, once, and the connection goes to an address that
was checked, so that a name which changes its answer gains nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from agentrun.emulator.backends.base import NetworkPolicy
from agentrun.emulator.backends.injection.exchange import END_OF_HEAD, Exchange, Streams
from agentrun.emulator.backends.injection.hosts import HTTP, HTTPS, Origin
from agentrun.emulator.backends.injection.placeholders import Injection
from agentrun.emulator.backends.policy import Address, is_public, refusal_by_address, refusal_by_name
from agentrun.emulator.backends.proxy_request import (
    BAD_GATEWAY,
    BUSY,
    CHUNK,
    FORBIDDEN,
    ProxyRequest,
    Refusal,
    forward_body,
    parse_head,
)

if TYPE_CHECKING:
    import ssl

    from agentrun.emulator.backends.injection.interception import Interceptor

PROXY_PORT = 3128
PROXY_URL = f"http://127.0.0.1:{PROXY_PORT}"
PROXY_ENVIRONMENT = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), PROXY_URL),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
}
MAX_HEAD = 65536
CONNECT_TIMEOUT = 20.0
HEAD_TIMEOUT = 30.0
LINGER = 1.0
# What one sandbox may hold open; each connection costs the emulator two descriptors.
MOST_CONNECTIONS = 128
LOOKUP_THREADS = 8

Policy: TypeAlias = Callable[[], NetworkPolicy]
LookUp: TypeAlias = Callable[[str], "list[Address]"]


def open_to_the_public() -> NetworkPolicy:
    """The policy of services: every public address."""
    return NetworkPolicy()


def addresses_of(host: str) -> list[Address]:
    """The addresses of a name, as this machine knows them; raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


@dataclass(eq=False)
class Relay:
    """One connection through the proxy; what it asks for and which address it got are known later."""

    policy: Policy
    injection: Injection | None = None
    task: asyncio.Task[None] | None = None
    request: ProxyRequest | None = None
    address: Address | None = None

    def cut(self) -> None:
        """End it at once."""
        if self.task is not None:
            self.task.cancel()


class EgressProxy:
    """Serves the proxy, for each connection by a policy that is asked when it matters and so may change.

    `public` decides which addresses count as public. A policy is known by the callable that gives it. At `own_port` of
    this machine is the emulator itself, which knows who comes from inside only when it is asked directly. Where an
    injection has placeholders for an origin, connections there are looked into; the origin's certificate is checked by
    those that this machine trusts and those of the file `trusted`. `look_up` finds the addresses of names.
    """

    def __init__(
        self,
        public: Callable[[Address], bool] = is_public,
        own_port: int | None = None,
        trusted: Path | None = None,
        look_up: LookUp = addresses_of,
    ) -> None:
        self._public = public
        self._own_port = own_port
        self._trusted = trusted
        self._look_up_name = look_up
        self._interceptor: asyncio.Task[Interceptor] | None = None
        self._servers: set[asyncio.AbstractServer] = set()
        self._relays: set[Relay] = set()
        self._open: Counter[Policy] = Counter()
        # Look-ups block; in threads of their own they hold up nobody but other look-ups.
        self._lookups = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="look-up")

    async def start(self, path: Path) -> None:
        """Listen for everything that may reach public addresses; the socket's folder is made."""
        await self.listen(path, open_to_the_public)

    async def interceptor(self) -> Interceptor:
        """What looks into connections; made when it is first needed, because most emulators never do."""
        if self._interceptor is None:
            making = asyncio.to_thread(_make_interceptor, self._trusted)
            self._interceptor = asyncio.get_running_loop().create_task(making)
        return await asyncio.shield(self._interceptor)

    async def listen(self, path: Path, policy: Policy, injection: Injection | None = None) -> Callable[[], None]:
        """Listen on a unix socket for what one policy holds for; returns the function that ends this."""

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            relay = Relay(policy, injection)
            self._begin(relay, self._serve(relay, reader, writer), writer)

        _make_room(path)
        server = await asyncio.start_unix_server(accept, str(path), limit=MAX_HEAD)
        os.chmod(path, 0o666)
        self._servers.add(server)

        def end() -> None:
            self._servers.discard(server)
            server.close()
            self.cut(policy)
            path.unlink(missing_ok=True)

        return end

    async def serve(self, connection: socket.socket, policy: Policy, injection: Injection | None = None) -> None:
        """Serve one connected stream socket to its end, when it is closed."""
        connection.setblocking(False)
        relay = Relay(policy, injection)
        self._begin(relay, self._serve_socket(relay, connection), connection)
        if relay.task is not None:
            try:
                await asyncio.wait((relay.task,))
            finally:
                relay.cut()

    def recheck(self) -> None:
        """Cut the connections whose policy does not allow them any more; call it when a policy has changed."""
        for relay in list(self._relays):
            request, address = relay.request, relay.address
            if request and address and self._refusal(relay.policy(), request, address):
                relay.cut()

    def cut(self, policy: Policy) -> None:
        """End all connections of one policy, because nobody is left at their inner end."""
        for relay in list(self._relays):
            if relay.policy == policy:
                relay.cut()

    async def stop(self) -> None:
        """Stop listening and end what is being relayed."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        tasks = [relay.task for relay in self._relays if relay.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lookups.shutdown(wait=False, cancel_futures=True)

    def _begin(
        self, relay: Relay, work: Coroutine[Any, Any, None], connection: socket.socket | asyncio.StreamWriter
    ) -> None:
        if self._open[relay.policy] >= 2 * MOST_CONNECTIONS and relay.policy is not open_to_the_public:
            work.close()
            connection.close()
            return
        self._open[relay.policy] += 1
        self._relays.add(relay)
        relay.task = asyncio.get_running_loop().create_task(work)
        relay.task.add_done_callback(lambda task: self._end(relay))

    def _end(self, relay: Relay) -> None:
        self._relays.discard(relay)
        self._open[relay.policy] -= 1
        if not self._open[relay.policy]:
            del self._open[relay.policy]

    async def _serve_socket(self, relay: Relay, connection: socket.socket) -> None:
        family = connection.family
        opened = asyncio.open_unix_connection if family == socket.AF_UNIX else asyncio.open_connection
        try:
            reader, writer = await opened(sock=connection, limit=MAX_HEAD)
        except OSError:
            connection.close()
            return
        await self._serve(relay, reader, writer)

    async def _serve(self, relay: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with anyio.fail_after(HEAD_TIMEOUT):
                head = await reader.readuntil(END_OF_HEAD)
            self._check_number(relay.policy)
            relay.request = parse_head(head)
            await self._carry(relay, relay.request, reader, writer)
        except Refusal as refusal:
            await _refuse(refusal, reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    async def _carry(
        self, relay: Relay, request: ProxyRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        origin = Origin(HTTPS if request.is_tunnel else HTTP, request.destination.host, request.destination.port)
        if relay.injection and request.is_tunnel and relay.injection.reaches(origin):
            await self._intercept(relay, request, origin, relay.injection, (reader, writer))
            return
        far_reader, far_writer = await self._connect(relay, request)
        try:
            if relay.injection and not request.is_tunnel:
                far = far_reader, far_writer
                await self._exchange(relay, request, origin, relay.injection, (reader, writer), far).carry(request.head)
            elif request.is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _both(_copy(reader, far_writer), _copy(far_reader, writer))
            else:
                far_writer.write(request.head)
                await _exchange(_send_one(request, reader, far_writer), _copy(far_reader, writer))
        except BaseException:
            far_writer.transport.abort()
            raise
        finally:
            far_writer.close()

    async def _intercept(
        self, relay: Relay, request: ProxyRequest, origin: Origin, injection: Injection, near: Streams
    ) -> None:
        """Be the origin to the inside, and its client to the outside, which is asked first."""
        interceptor = await self.interceptor()
        far = await self._connect(relay, request, interceptor.outside)
        try:
            # Nothing may be awaited between these two, or the first bytes of the handshake would be read as clear text.
            near[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            inner = await interceptor.accept(origin.host, near, MAX_HEAD)
            try:
                await self._exchange(relay, request, origin, injection, inner, far).run()
            except Refusal as refusal:
                await _refuse(refusal, *inner)
            finally:
                inner[1].close()
        except BaseException:
            far[1].transport.abort()
            raise
        finally:
            far[1].close()

    def _exchange(
        self, relay: Relay, request: ProxyRequest, origin: Origin, injection: Injection, near: Streams, far: Streams
    ) -> Exchange:
        def recheck() -> None:
            if relay.address and (reason := self._refusal(relay.policy(), request, relay.address)):
                raise Refusal(FORBIDDEN, reason)

        return Exchange(injection, origin, near, far, recheck)

    async def _connect(self, relay: Relay, request: ProxyRequest, tls: ssl.SSLContext | None = None) -> Streams:
        failure = "no address"
        for address in await self._addresses(relay.policy(), request):
            # The policy may have changed while a name was looked up or another address did not answer.
            if reason := self._refusal(relay.policy(), request, address):
                raise Refusal(FORBIDDEN, reason)
            relay.address = address
            try:
                return await _open(address, request, tls)
            except TimeoutError:
                failure = f"no answer within {CONNECT_TIMEOUT:g} s"
            except OSError as error:
                failure = error.strerror or str(error)
        raise Refusal(BAD_GATEWAY, f"cannot connect to {request.destination}: {failure}")

    def _check_number(self, policy: Policy) -> None:
        if self._open[policy] > MOST_CONNECTIONS and policy is not open_to_the_public:
            raise Refusal(BUSY, f"this sandbox has {MOST_CONNECTIONS} connections open: close one first")

    async def _addresses(self, policy: NetworkPolicy, request: ProxyRequest) -> list[Address]:
        """The addresses of the request's host that the policy allows; Refusal when it allows none."""
        if reason := refusal_by_name(policy, request.destination):
            raise Refusal(FORBIDDEN, reason)
        reasons = {address: self._refusal(policy, request, address) for address in await self._look_up(request)}
        allowed = [address for address, reason in reasons.items() if reason is None]
        if reasons and not allowed:
            raise Refusal(FORBIDDEN, next(reason for reason in reasons.values() if reason))
        return allowed

    async def _look_up(self, request: ProxyRequest) -> list[Address]:
        host = request.destination.host
        look_up = asyncio.get_running_loop().run_in_executor(self._lookups, self._look_up_name, host)
        try:
            with anyio.fail_after(CONNECT_TIMEOUT):
                return await look_up
        except (OSError, UnicodeError) as error:
            reason = str(error) or f"no answer within {CONNECT_TIMEOUT:g} s"
            raise Refusal(BAD_GATEWAY, f"cannot resolve {host}: {reason}") from None

    def _refusal(self, policy: NetworkPolicy, request: ProxyRequest, address: Address) -> str | None:
        if request.destination.port == self._own_port and not self._public(address):
            return f"{request.destination} is refused: the emulator is at 127.0.0.1:{self._own_port}, without a proxy"
        return refusal_by_address(policy, request.destination, address, self._public)


def _make_interceptor(trusted: Path | None) -> Interceptor:
    # Cryptography is slow to import, and only sandboxes with credentials need it.
    from agentrun.emulator.backends.injection.interception import Interceptor

    return Interceptor(trusted)


async def _open(address: Address, request: ProxyRequest, tls: ssl.SSLContext | None) -> Streams:
    """A connection to an address, in which TLS asks for the name that the request had."""
    name = request.destination.host if tls else None
    with anyio.fail_after(CONNECT_TIMEOUT):
        return await asyncio.open_connection(
            str(address), request.destination.port, limit=MAX_HEAD, ssl=tls, server_hostname=name
        )


def _make_room(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.unlink(missing_ok=True)


async def _refuse(refusal: Refusal, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request that is not carried out; to close before the client stops sending could lose the answer."""
    with contextlib.suppress(OSError):
        writer.write(refusal.answer())
        await writer.drain()
        _end_of(writer)
        with anyio.move_on_after(LINGER):
            await _drop(reader)


async def _send_one(request: ProxyRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass one request on; what the client sends after it is read and dropped, to learn when it goes away."""
    await writer.drain()
    await forward_body(request, reader, writer)
    await _drop(reader)
    _end_of(writer)


async def _drop(reader: asyncio.StreamReader) -> None:
    while await reader.read(CHUNK):
        pass


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    _end_of(writer)


def _end_of(writer: asyncio.StreamWriter) -> None:
    if writer.can_write_eof():
        writer.write_eof()


async def _exchange(sending: Coroutine[Any, Any, None], answering: Coroutine[Any, Any, None]) -> None:
    """Carry one request and its answer, until the answer has ended or the request has failed."""
    sent, answered = asyncio.ensure_future(sending), asyncio.ensure_future(answering)
    try:
        await asyncio.wait((sent, answered), return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            await sent
        await answered
    finally:
        sent.cancel()
        answered.cancel()


async def _both(outward: Coroutine[Any, Any, None], inward: Coroutine[Any, Any, None]) -> None:
    """Carry both directions until both ended; a failure of one ends the other."""
    tasks = [asyncio.ensure_future(outward), asyncio.ensure_future(inward)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
