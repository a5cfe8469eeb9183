"""The way out: an HTTP proxy on a unix socket that lets sandboxes reach public addresses and nothing else.

It answers CONNECT and absolute-form requests. Names are resolved here, every address of a name must be public, and the
connection goes to the address that was checked, so that a name which changes its answer gains nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PROXY_PORT = 3128
PROXY_URL = f"http://127.0.0.1:{PROXY_PORT}"
PROXY_ENVIRONMENT = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), PROXY_URL),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
}
MAX_HEAD = 65536
CHUNK = 65536
CONNECT_TIMEOUT = 20.0
HEAD_TIMEOUT = 30.0
TRANSLATED_TO_IPV4 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


class Refusal(Exception):
    """A request that the proxy does not carry out; status and text are the answer."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Target:
    """Where a request wants to go, and the bytes to send there first."""

    host: str
    port: int
    tunnel: bool
    head: bytes = b""


def is_public(address: Address) -> bool:
    """Whether the address belongs to somebody on the internet, also when it wraps an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if any(address in network for network in TRANSLATED_TO_IPV4) or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


class EgressProxy:
    """Serves the proxy; `permitted` decides per address, public ones by default."""

    def __init__(self, permitted: Callable[[Address], bool] = is_public) -> None:
        self._permitted = permitted
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, path: Path) -> None:
        """Listen on the socket; its folder is made and must hold nothing else."""
        _make_room(path)
        self._server = await asyncio.start_unix_server(self._accept, str(path), limit=MAX_HEAD)
        os.chmod(path, 0o666)

    async def stop(self) -> None:
        """Stop listening and end what is being relayed."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_TIMEOUT)
            target = parse_head(head)
            await self._carry(target, reader, writer)
        except Refusal as refusal:
            with contextlib.suppress(OSError):
                writer.write(_answer(refusal))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            return
        finally:
            writer.close()

    async def _carry(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._connect(target)
        try:
            if target.tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                far_writer.write(target.head)
            await _join((reader, far_writer), (far_reader, writer))
        finally:
            far_writer.close()

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        failure = "no address"
        for address in await self._resolve(target):
            try:
                return await asyncio.wait_for(asyncio.open_connection(str(address), target.port), CONNECT_TIMEOUT)
            except asyncio.TimeoutError:
                failure = f"no answer within {CONNECT_TIMEOUT:g} s"
            except OSError as error:
                failure = error.strerror or str(error)
        raise Refusal("502 Bad Gateway", f"cannot connect to {target.host}:{target.port}: {failure}")

    async def _resolve(self, target: Target) -> list[Address]:
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Refusal("502 Bad Gateway", f"cannot resolve {target.host}: {error}") from None
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        for address in addresses:
            if not self._permitted(address):
                raise Refusal(
                    "403 Forbidden", f"{target.host} ({address}) is refused: only public addresses can be reached"
                )
        return addresses


def _make_room(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.unlink(missing_ok=True)


def parse_head(head: bytes) -> Target:
    """Read a proxy request; Refusal when it is not one."""
    line, *headers = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    try:
        method, url, version = line.split(" ")
        if method == "CONNECT":
            parts = urlsplit(f"//{url}")
            return Target(_host(parts.hostname), parts.port or 443, tunnel=True)
        parts = urlsplit(url)
        if parts.scheme != "http":
            raise ValueError("only http:// requests and CONNECT are proxied")
        path = parts._replace(scheme="", netloc="").geturl() or "/"
        return Target(
            _host(parts.hostname), parts.port or 80, tunnel=False, head=_origin_head(method, path, version, headers)
        )
    except ValueError as error:
        raise Refusal("400 Bad Request", f"not a proxy request: {error}") from None


def _host(name: str | None) -> str:
    if not name:
        raise ValueError("the host is missing")
    return name


def _origin_head(method: str, path: str, version: str, headers: list[str]) -> bytes:
    """The head as the origin server expects it, with one request per connection: a later one may mean another host."""
    hop_by_hop = ("proxy-", "connection:", "keep-alive:")
    kept = [header for header in headers if not header.lower().startswith(hop_by_hop)]
    lines = [f"{method} {path} {version}", *kept, "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _answer(refusal: Refusal) -> bytes:
    body = f"{refusal.text}\n".encode()
    head = f"HTTP/1.1 {refusal.status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


async def _join(*directions: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Copy in both directions until both ended; a failure of one ends the other."""
    tasks = [asyncio.ensure_future(_copy(reader, writer)) for reader, writer in directions]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
