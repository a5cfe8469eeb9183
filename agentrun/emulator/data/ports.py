"""Servers that run inside a sandbox: `/sandboxes/{id}/ports/{port}/...` goes to the one that listens there."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import anyio

from agentrun._serving.upstream import Headers, UpstreamError, adopt
from agentrun.emulator.data.proxy import HOP_BY_HOP, BadGateway, Passage, carry, passed_on, with_query
from agentrun.emulator.http import Request
from agentrun.emulator.wire.envelope import ServiceError, invalid

_DIAL_SECONDS = 10.0
_LONGEST_REPLY = 500
_FORWARDED = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-prefix")
_OURS = frozenset((b"host", *_FORWARDED))


class PortClosed(ServiceError):
    """Nothing listens on a port of a sandbox (502); nothing was sent to it."""

    def __init__(self, port: int, sandbox_id: str, reason: str) -> None:
        text = (
            f"nothing answers on port {port} of sandbox {sandbox_id} ({reason}): start a server in it first, "
            f"for example by running the command `python3 -m http.server {port}` in the background"
        )
        super().__init__(502, "ERR_PORT_CLOSED", text, executed="no")


class DialRefused(UpstreamError):
    """The sandbox's agent could not connect to the port."""


@dataclass(frozen=True)
class Destination:
    """A path of a server inside a sandbox, still percent-encoded, and where callers find that server's root."""

    sandbox_id: str
    port: int
    path: str

    @property
    def prefix(self) -> str:
        """What stands before the server's own paths in public."""
        return f"/sandboxes/{quote(self.sandbox_id, safe='')}/ports/{self.port}"

    @property
    def authority(self) -> str:
        """The server as it sees itself."""
        return f"localhost:{self.port}"


def destination(sandbox_id: str, below: str) -> Destination:
    """Where `ports/{port}/...` leads to; raises ServiceError (400) when that is no port."""
    port, _, path = below.removeprefix("ports/").partition("/")
    text = unquote(port)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536):
        raise invalid(f"a port is a number from 1 to 65535, not {text[:20]!r}")
    return Destination(sandbox_id, int(text), f"/{path}")


async def dial(path: Path, port: int) -> socket.socket:
    """A socket joined to a port inside the sandbox whose agent listens at `path`.

    Raises DialRefused when nothing listens there, and UpstreamError when the agent does not answer.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.setblocking(False)
    try:
        with anyio.fail_after(_DIAL_SECONDS):
            await _joined(connected, path, port)
    except OSError as error:
        connected.close()
        raise UpstreamError(str(error) or "no answer in time") from error
    except BaseException:
        connected.close()
        raise
    return connected


async def _joined(connected: socket.socket, path: Path, port: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connected, str(path))
    await loop.sock_sendall(connected, b"DIAL %d\n" % port)
    reply = b""
    # Byte by byte: what follows the line belongs to the server already.
    while not reply.endswith(b"\n") and len(reply) < _LONGEST_REPLY:
        piece = await loop.sock_recv(connected, 1)
        if not piece:
            raise UpstreamError("the sandbox closed the connection")
        reply += piece
    if reply != b"OK\n":
        raise DialRefused(reply.decode(errors="replace").strip().removeprefix("ERR "))


async def joined(path: Path, where: Destination) -> socket.socket:
    """A socket to the server; raises PortClosed when it does not listen, BadGateway when the sandbox is gone."""
    try:
        return await dial(path, where.port)
    except DialRefused as error:
        raise PortClosed(where.port, where.sandbox_id, str(error)) from error
    except UpstreamError as error:
        raise BadGateway(f"sandbox {where.sandbox_id}", error, sent=False) from error


async def forward(request: Request, path: Path, where: Destination, request_id: str) -> int:
    """Pass a request on to a server inside and its answer back; returns the status."""
    connection = await adopt(await joined(path, where))
    passage = Passage(
        f"the server on port {where.port} of sandbox {where.sandbox_id}",
        with_query(where.path, request.query_string),
        headers_inside(request, where, request_id),
        lambda headers: _headers_outside(headers, where),
    )
    # Servers inside close idle connections when they like; one for each request is never closed at the wrong moment.
    exchange = await carry(request, connection, passage, request_id)
    connection.abort()
    return exchange.status


def headers_inside(request: Request, where: Destination, request_id: str) -> Headers:
    """The headers for a server inside, which learns how it was called in public from `x-forwarded-*`."""
    client = request.scope.get("client")
    values = (
        client[0] if client else "127.0.0.1",
        request.headers.get("host", "").rpartition("://")[2],
        request.scope.get("scheme", "http"),
        where.prefix,
    )
    kept = [pair for pair in passed_on(request, request_id) if pair[0] not in _OURS]
    forwarded = [(name, value.encode("latin-1")) for name, value in zip(_FORWARDED, values, strict=True)]
    return [(b"host", where.authority.encode()), (b"connection", b"close"), *kept, *forwarded]


def _headers_outside(headers: Headers, where: Destination) -> Headers:
    kept = [pair for pair in headers if pair[0] not in HOP_BY_HOP]
    return [(name, public(value, where) if name == b"location" else value) for name, value in kept]


def public(location: bytes, where: Destination) -> bytes:
    """Where a redirect of a server inside leads to for a caller outside; other places stay as they are."""
    text = location.decode("latin-1")
    for host in ("localhost", "127.0.0.1", "[::1]", "0.0.0.0"):
        own = f"http://{host}:{where.port}"
        if text == own or text.startswith((f"{own}/", f"{own}?")):
            return f"{where.prefix}{text.removeprefix(own) or '/'}".encode("latin-1")
    below = text.startswith("/") and not text.startswith("//")
    known = text == where.prefix or text.startswith(f"{where.prefix}/")
    return f"{where.prefix}{text}".encode("latin-1") if below and not known else location
