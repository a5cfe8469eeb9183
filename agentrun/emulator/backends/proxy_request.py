"""Requests to a forward proxy, read strictly: what could be understood in two ways is refused."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agentrun.emulator.backends.policy import Destination

CHUNK = 65536
LONGEST_HOST = 253
HTTP_PORT, HTTPS_PORT = 80, 443
BAD_REQUEST, FORBIDDEN, BAD_GATEWAY, BUSY = (
    "400 Bad Request",
    "403 Forbidden",
    "502 Bad Gateway",
    "503 Service Unavailable",
)
_AUTHORITY = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*))(?::(?P<port>\d{1,5}))?")
_URL = re.compile(r"http://(?P<authority>[^/?#]*)(?P<rest>[^#]*)", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# What belongs to one connection; the host is written anew, because it must be the one that was checked.
_DROPPED = frozenset(("connection", "host", "keep-alive", "te", "trailer", "upgrade"))
_FRAMING = ("content-length", "transfer-encoding")

Header: TypeAlias = tuple[str, str]


class Refusal(Exception):
    """A request that the proxy does not carry out; status and text are the answer."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text

    def answer(self) -> bytes:
        """The whole answer as it travels."""
        body = f"{self.text}\n".encode()
        head = f"HTTP/1.1 {self.status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n".encode() + body


@dataclass(frozen=True)
class ProxyRequest:
    """What a client asks a proxy for: a tunnel, or one plain request with its head as the origin server gets it.

    `body` is the number of bytes that follow, None when they come in chunks.
    """

    destination: Destination
    head: bytes = b""
    body: int | None = 0

    @property
    def is_tunnel(self) -> bool:
        """Whether the client wants a connection of its own, whatever travels on it."""
        return self.destination.method is None


def parse_head(head: bytes) -> ProxyRequest:
    """Read a proxy request; Refusal when it is not one."""
    try:
        line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, url, version = request_line(line)
        headers = [read_header(line) for line in lines]
        if method == "CONNECT":
            return ProxyRequest(Destination(*_authority(url, HTTPS_PORT)))
        return _plain(method, url, version, headers)
    except ValueError as error:
        raise Refusal(BAD_REQUEST, f"not a proxy request: {error}") from None


def request_line(line: str) -> tuple[str, str, str]:
    """Method, target and version; raises ValueError."""
    parts = line.split(" ")
    if len(parts) != 3 or _CONTROL.search(line) or "\t" in line:
        raise ValueError("the first line must be a method, an address and a version")
    method, url, version = parts
    if not _TOKEN.fullmatch(method) or version not in ("HTTP/1.0", "HTTP/1.1"):
        raise ValueError("only HTTP/1.0 and HTTP/1.1 are proxied")
    return method, url, version


def read_header(line: str) -> Header:
    """A line of a head; raises ValueError when it could be read in two ways, folded for one."""
    name, colon, value = line.partition(":")
    if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
        raise ValueError("a header is malformed")
    return name, value.strip(" \t")


def _authority(text: str, port: int) -> tuple[str, int]:
    found = _AUTHORITY.fullmatch(text)
    if found is None or len(text) > LONGEST_HOST:
        raise ValueError("the address must be a host and a port, names in ASCII, without a user")
    port = int(found["port"] or port)
    if not 0 < port < 65536:
        raise ValueError("a port is a number from 1 to 65535")
    if found["six"]:
        return str(ipaddress.IPv6Address(found["six"])), port
    return found["name"].lower().removesuffix("."), port


def _plain(method: str, url: str, version: str, headers: Sequence[Header]) -> ProxyRequest:
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError("only http:// requests and CONNECT are proxied")
    host, port = _authority(found["authority"], HTTP_PORT)
    path = found["rest"] if found["rest"].startswith("/") else f"/{found['rest']}"
    destination = Destination(host, port, method, path)
    return ProxyRequest(destination, _origin_head(destination, version, headers), body_size(headers))


def _origin_head(destination: Destination, version: str, headers: Sequence[Header]) -> bytes:
    """The head as the origin server expects it, with one request per connection: a later one may mean another host."""
    connection = ",".join(value for name, value in headers if name.lower() == "connection")
    nominated = {token.strip().lower() for token in connection.split(",")}
    dropped = (_DROPPED | nominated).difference(_FRAMING)
    kept = [
        f"{name}: {value}"
        for name, value in headers
        if name.lower() not in dropped and not name.lower().startswith("proxy-")
    ]
    host = str(destination).removesuffix(f":{HTTP_PORT}") if destination.port == HTTP_PORT else str(destination)
    lines = [f"{destination.method} {destination.path} {version}", f"Host: {host}", *kept, "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def body_size(headers: Sequence[Header]) -> int | None:
    """How many bytes follow a head, None when they come in chunks; raises ValueError."""
    sizes = {value for name, value in headers if name.lower() == "content-length"}
    codings = [value.lower() for name, value in headers if name.lower() == "transfer-encoding"]
    if codings:
        if sizes or codings != ["chunked"]:
            raise ValueError("a body has either a length or comes in chunks")
        return None
    size = sizes.pop() if sizes else "0"
    if sizes or not (size.isascii() and size.isdigit() and len(size) < 19):
        raise ValueError("the content length must be one whole number")
    return int(size)


async def forward_body(request: ProxyRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass the body of a plain request on and nothing behind it, where another request could hide.

    Raises ConnectionError when its chunks are malformed, IncompleteReadError when it breaks off.
    """
    if request.body is None:
        await _forward_chunks(reader, writer)
    else:
        await _forward_bytes(reader, writer, request.body)


async def _forward_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> None:
    while size:
        data = await reader.read(min(size, CHUNK))
        if not data:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(data)
        writer.write(data)
        await writer.drain()


async def _forward_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while size := await chunk_size(reader):
        writer.write(b"%x\r\n" % size)
        await _forward_bytes(reader, writer, size)
        if await reader.readexactly(2) != b"\r\n":
            raise ConnectionError("a chunk is longer than it said")
        writer.write(b"\r\n")
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # What stands after the last chunk is not needed by anybody.
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def chunk_size(reader: asyncio.StreamReader) -> int:
    """The size of the chunk that comes next, 0 for the last; ConnectionError when there is none."""
    found = _CHUNK_SIZE.fullmatch(await reader.readuntil(b"\r\n"))
    if found is None:
        raise ConnectionError("a chunk has no size")
    return int(found[1], 16)
