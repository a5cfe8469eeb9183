"""What the proxy does with placeholders, byte for byte: real TLS on both sides, raw requests, a raw server."""

from __future__ import annotations

import asyncio
import base64
import json
import resource
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from agentrun.emulator.authority import Authority
from agentrun.emulator.backends.base import NetworkPolicy
from agentrun.emulator.backends.egress import EgressProxy
from agentrun.emulator.backends.injection.exchange import MOST_HELD, MOST_HELD_OF_ANSWERS
from agentrun.emulator.backends.injection.hosts import AllowedHost, Origin, read_hosts
from agentrun.emulator.backends.injection.placeholders import (
    PLACES,
    Injection,
    Placeholder,
    Unavailable,
    Usable,
    make_text,
)
from agentrun.emulator.backends.injection.replacing import Replacer
from agentrun.emulator.backends.injection.substitution import LONGEST_BASIC, MOST_REMEMBERED

HOST, OTHER = "api.example.com", "evil.example.net"
ADDRESS = "127.0.0.2"
SECRET = 'the/real secret+"42"&'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 30


@dataclass
class Server:
    """Notes the bytes of each connection; answers each request, head and body, by `answer`."""

    port: int = 0
    received: list[bytearray] = field(default_factory=list[bytearray])
    answer: Callable[[bytes], bytes] = lambda request: OK
    big: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = bytearray()
        self.received.append(got)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                got += head
                body = await self._body(head, reader)
                got += body
                writer.write(self.answer(bytes(head + body)))
                left = self.big
                while left:
                    piece = b"x" * min(left, 65536)
                    writer.write(piece)
                    await writer.drain()
                    left -= len(piece)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> bytes:
        lines = head.lower().split(b"\r\n")
        if any(line.startswith(b"transfer-encoding") for line in lines):
            return await reader.readuntil(b"0\r\n\r\n")
        size = next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length")), 0)
        if size <= MOST_HELD * 2:
            return await reader.readexactly(size)
        while size:
            piece = await reader.read(min(size, 65536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(piece)
        return b""

    @property
    def last(self) -> bytes:
        return bytes(self.received[-1])


@dataclass
class Way:
    """A proxy with the placeholder of one credential, which a test may change."""

    path: Path
    proxy: EgressProxy
    injection: Injection
    server: Server
    plain: Server
    text: str
    now: Usable | str
    policy: NetworkPolicy = field(default_factory=NetworkPolicy)
    heard: list[str] = field(default_factory=list[str])
    trusting: ssl.SSLContext | None = None
    # A writer that is forgotten closes its transport.
    writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    def reachable(self) -> NetworkPolicy:
        return self.policy

    def look_up(self, name: str) -> Usable:
        if isinstance(self.now, str):
            raise Unavailable(self.now)
        return self.now

    def request(self, more: str = "", target: str = "/x", method: str = "GET", body: str = "") -> bytes:
        sized = f"Content-Length: {len(body)}\r\n" if body else ""
        host = f"{HOST}:{self.server.port}"
        return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}{sized}\r\n{body}".encode()


def context_for(authority: Authority, folder: Path, *names: str) -> ssl.SSLContext:
    issued = authority.issue("server", *names)
    file = folder / "server.pem"
    file.write_bytes(issued.certificate + issued.key_in_clear())
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


@asynccontextmanager
async def way(
    folder: Path, *, hosts: tuple[str, ...] = (), places: tuple[str, ...] = PLACES, trusts: bool = True
) -> AsyncGenerator[Way]:
    authority, server, plain = Authority("tests"), Server(), Server()
    trusted = folder / "authority.pem"
    trusted.write_bytes((authority if trusts else Authority("somebody else")).certificate)
    tls = context_for(authority, folder, HOST, "*.example.com", "other.example.com")
    listening = await asyncio.start_server(server.serve, ADDRESS, 0, ssl=tls, limit=4 * MOST_HELD)
    listening_plain = await asyncio.start_server(plain.serve, ADDRESS, 0, limit=4 * MOST_HELD)
    server.port = listening.sockets[0].getsockname()[1]
    plain.port = listening_plain.sockets[0].getsockname()[1]
    proxy = EgressProxy(lambda address: True, trusted=trusted, look_up=lambda host: [ip_address(ADDRESS)])
    allowed = read_hosts([host.format(port=server.port, plain=plain.port) for host in hosts or (HOST + ":{port}",)])
    text = make_text()
    placeholder = Placeholder(text, "api", "secret", ("API_KEY",), allowed, places)
    made = Way(folder / "p", proxy, None, server, plain, text, Usable({"secret": SECRET}, allowed))  # type: ignore[arg-type]  # below
    made.injection = Injection(
        "sandbox s", [placeholder], lambda name: made.look_up(name), lambda refused: made.heard.append(refused.reason)
    )
    await proxy.listen(made.path, made.reachable, made.injection)
    try:
        yield made
    finally:
        for writer in made.writers:
            writer.close()
        await proxy.stop()
        listening.close()
        listening_plain.close()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def served(made: Way, folder: Path, serve: Serve) -> AsyncGenerator[int]:
    """One more server, to which alone the credential may be sent; its port."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem")
    server = await asyncio.start_server(serve, ADDRESS, 0, ssl=tls)
    port: int = server.sockets[0].getsockname()[1]
    host = AllowedHost.read(f"{HOST}:{port}")
    made.now = Usable({"secret": SECRET}, (host,))
    injection = Injection("sandbox t", [Placeholder(made.text, "api", "secret", (), (host,))], made.look_up)
    made.path = folder / "q"
    await made.proxy.listen(made.path, made.reachable, injection)
    yield port
    server.close()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def joined(made: Way) -> Streams:
    reader, writer = await asyncio.open_unix_connection(str(made.path))
    made.writers.append(writer)
    return reader, writer


async def connect(made: Way, host: str = HOST, port: int | None = None) -> Streams:
    reader, writer = await joined(made)
    writer.write(f"CONNECT {host}:{port or made.server.port} HTTP/1.1\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    if b" 200 " not in answer:
        raise ConnectionError((answer + await reader.read()).decode())
    return reader, writer


async def client_context(made: Way, trusted: bytes | None) -> ssl.SSLContext:
    if trusted is None and made.trusting:
        return made.trusting
    bundle = trusted or (await made.proxy.interceptor()).bundle
    context = ssl.create_default_context(cadata=bundle.decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    if trusted is None:
        made.trusting = context
    return context


async def secured(made: Way, streams: Streams, name: str = HOST, trusted: bytes | None = None) -> Streams:
    """TLS on a connection, trusting what sandboxes trust."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=2**20)
    context = await client_context(made, trusted)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport = await loop.start_tls(streams[1].transport, protocol, context, server_hostname=name)
    assert transport is not None
    protocol.connection_made(transport)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    made.writers.append(writer)
    return reader, writer


async def opened(made: Way) -> Streams:
    return await secured(made, await connect(made))


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """The status, the head and the body of one answer."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    status = int(head.split(b" ")[1])
    if b"chunked" in head.lower():
        return status, head, await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), PATIENCE)
    size = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0)
    return status, head, await asyncio.wait_for(reader.readexactly(size), PATIENCE)


async def asked(made: Way, request: bytes) -> tuple[int, bytes, bytes]:
    reader, writer = await opened(made)
    writer.write(request)
    got = await answered(reader)
    writer.close()
    return got


# Hosts


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("API.Example.com.", "api.example.com"),
        ("https://api.example.com/", "api.example.com"),
        ("*.example.com:8443", "*.example.com:8443"),
        ("http://api.example.com", "http://api.example.com"),
        ("127.0.0.2:1", "127.0.0.2:1"),
        ("[2606:4700::1]:8443", "[2606:4700::1]:8443"),
    ],
)
def test_hosts_as_they_are_written(written: str, shown: str) -> None:
    assert str(AllowedHost.read(written)) == shown
    assert AllowedHost.read(shown) == AllowedHost.read(written)


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "*",
            "*.com",
            "a.*.com",
            "ftp://a.b",
            "a b",
            "a@b.c",
            "a.b/path",
            "a.b?x",
            "münchen.de",
            "a:0",
            "a:70000",
        ),
        *("a..b", ".a.b", "-a.b", "http:/a.b", "user:pw@a.b", "a.b#c", "*a.b.c"),
    ],
)
def test_what_is_no_host(written: str) -> None:
    with pytest.raises(ValueError, match=r"host|port|reached"):
        AllowedHost.read(written)


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        ("a.example.com", "a.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "*.a.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "notexample.com", False),
        ("*.a.example.com", "*.example.com", False),
        ("a.example.com", "*.example.com", False),
        ("a.example.com", "a.example.com:8443", False),
        ("a.example.com", "http://a.example.com", False),
    ],
)
def test_a_list_can_only_be_narrowed(wide: str, narrow: str, covers: bool) -> None:
    assert AllowedHost.read(wide).covers(AllowedHost.read(narrow)) is covers


def test_an_origin_is_scheme_host_and_port() -> None:
    host = AllowedHost.read("*.example.com")
    assert host.allows(Origin("https", "a.example.com", 443))
    for origin in (("http", "a.example.com", 80), ("https", "a.example.com", 80), ("https", "example.com", 443)):
        assert not host.allows(Origin(*origin))


# Replacing


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_replacing_does_not_depend_on_cuts(size: int) -> None:
    replacer = Replacer([b"abc", b"abcdef", b"cab"], lambda found: b"<%b>" % found)
    data = b"xxabcyabcdefab" + b"ab" * 5 + b"cabcabcd"
    whole = Replacer([b"abc", b"abcdef", b"cab"], lambda found: b"<%b>" % found).whole(data)
    pieces = [replacer.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert b"".join([*pieces, replacer.end()]) == whole
    assert whole.startswith(b"xx<abc>y<abcdef>ab")


def test_only_what_may_become_a_text_is_held_back() -> None:
    replacer = Replacer([b"secret"], lambda found: b"*")
    assert replacer.feed(b"data: hello\n\n") == b"data: hello\n\n"
    assert replacer.feed(b"a secr") == b"a "
    assert replacer.feed(b"etary") == b"*ary"


# Where a secret is put in


@pytest.mark.asyncio
async def test_headers_urls_and_bodies(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        text = made.text
        basic = base64.b64encode(f"user:{text}".encode()).decode()
        more = f"Authorization: Bearer {text}\r\nX-Key: {text}\r\nX-Basic: Basic {basic}\r\nAccept-Encoding: gzip\r\n"
        status, _, _ = await asked(made, made.request(more, f"/p/{text}?key={text}&x=1"))
        assert status == 200
        head = made.server.last.decode()
        assert head.startswith(
            "GET /p/the%2Freal%20secret%2B%2242%22%26?key=the%2Freal%20secret%2B%2242%22%26&x=1 HTTP"
        )
        assert f"Authorization: Bearer {SECRET}\r\nX-Key: {SECRET}\r\n" in head
        assert base64.b64encode(f"user:{SECRET}".encode()).decode() in head
        assert "Accept-Encoding: identity\r\n" in head
        assert "gzip" not in head
        assert made.injection.uses["api"].count == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("application/json", json.dumps({"key": SECRET})),
        ("application/x-www-form-urlencoded", "the%2Freal+secret%2B%2242%22%26"),
        ("text/plain", SECRET),
        ("application/xml; charset=utf-8", "the/real secret+&quot;42&quot;&amp;"),
    ],
)
async def test_a_body_is_written_as_its_type_wants(tmp_path: Path, kind: str, written: str) -> None:
    async with way(tmp_path) as made:
        body = json.dumps({"key": made.text}) if kind == "application/json" else made.text
        await asked(made, made.request(f"Content-Type: {kind}\r\n", method="POST", body=body))
        head, _, sent = made.server.last.decode().partition("\r\n\r\n")
        assert sent == written
        assert f"Content-Length: {len(written)}" in head


@pytest.mark.asyncio
async def test_chunks_are_read_across_their_cuts(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        whole = f"a={made.text}!"
        chunks = "".join(f"1\r\n{sign}\r\n" for sign in whole) + "0\r\nX-Trailer: 1\r\n\r\n"
        request = made.request("Transfer-Encoding: chunked\r\nContent-Type: text/plain\r\n", method="POST")
        status, _, _ = await asked(made, request + chunks.encode())
        assert status == 200
        assert SECRET in made.server.last.decode().replace("\r\n1\r\n", "")
        assert b"X-Trailer" not in made.server.last
        assert made.text not in made.server.last.decode().replace("\r\n1\r\n", "")


@pytest.mark.asyncio
async def test_a_long_body_with_a_length_streams_and_has_no_placeholders(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        status, _, _ = await asked(made, made.request(method="POST", body="x" * (MOST_HELD + 1)))
        assert status == 200
        body = "x" * MOST_HELD + made.text + "x" * 1000
        status, _, text = await asked(made, made.request(method="POST", body=body))
        assert status == 403
        assert b"in chunks" in text
        assert made.text.encode() not in made.server.last
        assert len(made.heard) == 1


@pytest.mark.asyncio
async def test_places_can_be_narrowed(tmp_path: Path) -> None:
    async with way(tmp_path, places=("header",)) as made:
        assert (await asked(made, made.request(f"X-Key: {made.text}\r\n")))[0] == 200
        status, _, text = await asked(made, made.request(target=f"/?key={made.text}"))
        assert (status, b"may be used in header, not in the url" in text) == (403, True)
        assert (await asked(made, made.request(method="POST", body=made.text)))[0] == 403
        assert made.injection.uses["api"].count == 1


@pytest.mark.asyncio
async def test_a_client_that_waits_is_told_to_go_on(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        reader, writer = await opened(made)
        writer.write(made.request(f"Expect: 100-continue\r\nContent-Length: {len(made.text)}\r\n", method="POST"))
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(made.text.encode())
        assert (await answered(reader))[0] == 200
        assert b"Expect" not in made.server.last
        assert made.server.last.endswith(SECRET.encode())
        writer.close()


@pytest.mark.asyncio
async def test_a_secret_that_no_header_may_have(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        assert isinstance(made.now, Usable)
        made.now = Usable({"secret": "evil\r\nX-Injected: 1"}, made.now.hosts)
        status, _, text = await asked(made, made.request(f"X-Key: {made.text}\r\n"))
        assert status == 403
        assert b"evil" not in text
        assert not made.server.last


# What comes back


@pytest.mark.asyncio
async def test_an_echo_comes_back_as_the_placeholder(tmp_path: Path) -> None:
    def echo(request: bytes) -> bytes:
        body = request.partition(b"X-Key: ")[2].partition(b"\r\n")[0]
        basic = request.partition(b"Basic ")[2].partition(b"\r\n")[0]
        body = body + b" " + basic + b" " + json.dumps({"key": SECRET}).encode()
        return b"HTTP/1.1 200 OK\r\nX-Echo: %b\r\nContent-Length: %d\r\n\r\n%b" % (SECRET.encode(), len(body), body)

    async with way(tmp_path) as made:
        made.server.answer = echo
        basic = base64.b64encode(f"user:{made.text}".encode())
        more = f"X-Key: {made.text}\r\nAuthorization: Basic {basic.decode()}\r\n"
        _, head, body = await asked(made, made.request(more))
        assert f"X-Echo: {made.text}\r\n".encode() in head
        assert body == made.text.encode() + b" " + basic + b" " + json.dumps({"key": made.text}).encode()


@pytest.mark.asyncio
async def test_an_echo_without_a_placeholder_in_the_request(tmp_path: Path) -> None:
    """What was stored with one request does not come out with another."""
    async with way(tmp_path) as made:
        made.server.answer = lambda request: (
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
            % (
                len(SECRET),
                SECRET.encode(),
            )
        )
        assert (await asked(made, made.request()))[2] == made.text.encode()


@pytest.mark.asyncio
async def test_an_echo_in_chunks_and_in_long_answers(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        chunks = b"".join(b"1\r\n%c\r\n" % sign for sign in f"<{SECRET}>".encode())
        made.server.answer = lambda request: (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % chunks
        )
        body = (await asked(made, made.request()))[2]
        assert made.text.encode() in body
        long = b"x" * MOST_HELD_OF_ANSWERS + SECRET.encode() + b"y"
        made.server.answer = lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(long), long)
        body = (await asked(made, made.request()))[2]
        assert len(body) == len(long)
        assert SECRET.encode() not in body
        assert made.text[: len(SECRET)].encode() in body


@pytest.mark.asyncio
async def test_an_answer_that_only_its_connection_ends(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nit is " + SECRET.encode())
        writer.close()

    async with way(tmp_path) as made, served(made, tmp_path, serve) as port:
        reader, writer = await secured(made, await connect(made, port=port))
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        assert (await asyncio.wait_for(reader.read(), PATIENCE)).endswith(b"it is " + made.text.encode())


# Connections


@pytest.mark.asyncio
async def test_a_connection_is_kept_and_every_request_is_judged_anew(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        assert isinstance(made.now, Usable)
        before = made.now
        reader, writer = await opened(made)
        for secret in ("first secret", "second secret"):
            made.now = Usable({"secret": secret}, before.hosts)
            writer.write(made.request(f"X-Key: {made.text}\r\n"))
            assert (await answered(reader))[0] == 200
            assert f"X-Key: {secret}" in made.server.last.decode()
        assert len(made.server.received) == 1
        made.now = "the credential api is disabled"
        writer.write(made.request())
        assert (await answered(reader))[0] == 200
        writer.write(made.request(f"X-Key: {made.text}\r\n"))
        status, _, body = await answered(reader)
        assert status == 403
        assert b"https://api.example.com:" in body
        assert body.endswith(b"is refused for sandbox s: the credential api is disabled\n")
        assert await reader.read() == b""
        assert made.heard == ["the credential api is disabled"]


@pytest.mark.asyncio
async def test_a_credential_whose_hosts_became_fewer(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        made.now = Usable({"secret": SECRET}, (AllowedHost.read("other.example.com"),))
        status, _, body = await asked(made, made.request(f"X-Key: {made.text}\r\n"))
        assert (status, b"allowedHosts have changed" in body) == (403, True)
        made.now = Usable({"secret": SECRET}, ())
        assert (await asked(made, made.request(f"X-Key: {made.text}\r\n")))[0] == 403
        assert all(SECRET.encode() not in got for got in made.server.received)


@pytest.mark.asyncio
async def test_the_network_policy_counts_for_each_request(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        reader, writer = await opened(made)
        writer.write(made.request())
        assert (await answered(reader))[0] == 200
        made.policy = NetworkPolicy("off")
        writer.write(made.request(f"X-Key: {made.text}\r\n"))
        status, _, body = await answered(reader)
        assert (status, b"network of this sandbox is off" in body) == (403, True)


@pytest.mark.asyncio
async def test_an_upgrade_passes(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert SECRET.encode() in head
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while data := await reader.read(1000):
            writer.write(data.upper())

    async with way(tmp_path) as made, served(made, tmp_path, serve) as port:
        reader, writer = await secured(made, await connect(made, port=port))
        more = f"Upgrade: websocket\r\nConnection: Upgrade\r\nX-Key: {made.text}\r\n"
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\n{more}\r\n".encode())
        assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        for word in (b"hello", b"again"):
            writer.write(word)
            assert await asyncio.wait_for(reader.readexactly(5), PATIENCE) == word.upper()


@pytest.mark.asyncio
async def test_what_is_streamed_is_not_held_back(tmp_path: Path) -> None:
    seen = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\ndata: one\n\n\n\r\n")
        await asyncio.wait_for(seen.wait(), PATIENCE)
        writer.write(b"0\r\n\r\n")
        writer.close()

    async with way(tmp_path) as made, served(made, tmp_path, serve) as port:
        reader, writer = await secured(made, await connect(made, port=port))
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"data: one\n\n"), PATIENCE)
        seen.set()
        assert (await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), PATIENCE)).endswith(b"0\r\n\r\n")


@pytest.mark.asyncio
async def test_what_is_remembered_of_a_connection_is_bounded(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        reader, writer = await opened(made)
        for number in range(MOST_REMEMBERED + 10):
            basic = base64.b64encode(f"{number}:{made.text}".encode()).decode()
            writer.write(made.request(f"Authorization: Basic {basic}\r\n"))
            assert (await answered(reader))[0] == 200
        long = base64.b64encode(f"{'x' * LONGEST_BASIC}:{made.text}".encode()).decode()
        writer.write(made.request(f"Authorization: Basic {long}\r\n"))
        status, _, body = await answered(reader)
        assert (status, b"bytes of Basic is not replaced" in body) == (403, True)


@pytest.mark.asyncio
async def test_a_hundred_at_once(tmp_path: Path) -> None:
    async with way(tmp_path) as made:

        async def one(number: int) -> None:
            status, _, _ = await asked(made, made.request(f"X-Number: {number}\r\nX-Key: {made.text}\r\n"))
            assert status == 200

        await asyncio.gather(*map(one, range(100)))
        heads = [bytes(got).decode() for got in made.server.received]
        assert len(heads) == 100
        assert all(SECRET in head for head in heads)
        assert {head.partition("X-Number: ")[2].partition("\r\n")[0] for head in heads} == set(map(str, range(100)))


@pytest.mark.asyncio
async def test_fifty_megabytes_each_way_in_flat_memory(tmp_path: Path) -> None:
    size = 50 * 2**20
    async with way(tmp_path) as made:
        await asked(made, made.request())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        reader, writer = await opened(made)
        writer.write(made.request(f"X-Key: {made.text}\r\nContent-Length: {size}\r\n", method="PUT"))
        for _ in range(size // 65536):
            writer.write(b"u" * 65536)
            await writer.drain()
        assert (await answered(reader))[0] == 200
        made.server.big = size
        made.server.answer = lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        writer.write(made.request())
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        await asyncio.sleep(0.3)  # Whoever does not read must not make anybody hold what comes.
        left = size
        while left:
            piece = await asyncio.wait_for(reader.read(65536), PATIENCE)
            assert piece
            left -= len(piece)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 24 * 1024, f"{grown} KiB more"
        writer.close()


# Tricks


@pytest.mark.asyncio
async def test_another_host_is_a_tunnel_that_sees_only_the_placeholder(tmp_path: Path) -> None:
    """Nobody looks into it, so the placeholder arrives; it is worth nothing, and our certificate is not used there."""
    async with way(tmp_path) as made:
        authority = (tmp_path / "authority.pem").read_bytes()
        streams = await connect(made, "other.example.com")
        reader, writer = await secured(made, streams, "other.example.com", authority)
        writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nX-Key: {made.text}\r\n\r\n".encode())
        assert (await answered(reader))[0] == 200
        assert made.text.encode() in made.server.last
        assert SECRET.encode() not in made.server.last
        writer.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "hosts",
    ["Host: evil.example.net", "Host: api.example.com:1", "", "Host: api.example.com:{port}\r\nHost: evil.example.net"],
)
async def test_the_host_header_must_be_the_one_that_was_connected_to(tmp_path: Path, hosts: str) -> None:
    async with way(tmp_path) as made:
        named = hosts.format(port=made.server.port) + "\r\n" if hosts else ""
        status, _, body = await asked(made, f"GET / HTTP/1.1\r\n{named}X-Key: {made.text}\r\n\r\n".encode())
        assert (status, b"must name it in one Host header" in body) == (403, True)
        assert not made.server.last


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "request_",
    [
        "GET https://evil.example.net/ HTTP/1.1\r\nHost: {host}\r\nX-Key: {text}\r\n\r\n",
        "CONNECT evil.example.net:443 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nX-Key: agentrun-\r\n placeholder\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: {host}\r\n\r\n",
        "GET /\tx HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nX-Key : {text}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\nX-Smuggled: {text}\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nContent-Length: 30\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, request_: str) -> None:
    async with way(tmp_path) as made:
        host = f"{HOST}:{made.server.port}"
        status, _, _ = await asked(made, request_.format(host=host, text=made.text).encode())
        assert status == 400
        assert not made.server.last


@pytest.mark.asyncio
async def test_malformed_chunks_end_the_connection(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        reader, writer = await opened(made)
        writer.write(made.request("Transfer-Encoding: chunked\r\n", method="POST") + b"3\r\nabcdef\r\n0\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        assert b"0\r\n\r\n" not in made.server.last


@pytest.mark.asyncio
async def test_a_name_in_the_handshake_that_is_not_the_one_connected_to(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await secured(made, await connect(made), OTHER)
        assert not made.server.last


@pytest.mark.asyncio
async def test_a_server_that_nobody_vouches_for(tmp_path: Path) -> None:
    async with way(tmp_path, trusts=False) as made:
        with pytest.raises(ConnectionError, match=r"(?is)502.*certificate.verify.failed") as refused:
            await connect(made)
        assert SECRET not in str(refused.value)


@pytest.mark.asyncio
async def test_a_server_with_the_certificate_of_another(tmp_path: Path) -> None:
    async with way(tmp_path, hosts=("elsewhere.example.org:{port}",)) as made:
        with pytest.raises(ConnectionError, match="502"):
            await connect(made, "elsewhere.example.org")


@pytest.mark.asyncio
async def test_our_certificate_is_for_one_host_and_signs_nothing(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        _, writer = await opened(made)
        certificate = writer.get_extra_info("peercert")
        assert certificate["subjectAltName"] == (("DNS", HOST),)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        bundle = (await made.proxy.interceptor()).bundle
        assert b"PRIVATE KEY" not in bundle
        writer.close()


@pytest.mark.asyncio
async def test_plain_http_is_refused_unless_the_host_is_allowed_as_such(tmp_path: Path) -> None:
    async def plainly(made: Way) -> bytes:
        reader, writer = await joined(made)
        host = f"{HOST}:{made.plain.port}"
        more = f"Authorization: Bearer {made.text}\r\nContent-Length: {len(made.text)}\r\n"
        writer.write(f"POST http://{host}/?k={made.text} HTTP/1.1\r\nHost: evil\r\n{more}\r\n{made.text}".encode())
        data = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        writer.close()
        return data

    async with way(tmp_path) as made:
        assert b" 403 " in await plainly(made)
        assert made.heard == [f"the credential api may be used at {HOST}:{made.server.port} only"]
        assert not any(made.plain.received)
    (tmp_path / "second").mkdir()
    async with way(tmp_path / "second", hosts=("http://" + HOST + ":{plain}",)) as made:
        assert b" 200 " in await plainly(made)
        assert made.plain.last.count(SECRET.encode()) == 2
        assert made.text.encode() not in made.plain.last


@pytest.mark.asyncio
async def test_a_plain_body_to_another_host_is_looked_at_to_its_end(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        reader, writer = await joined(made)
        url = f"http://{OTHER}:{made.plain.port}/"
        half = len(made.text) // 2
        chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in ("x" * 100, made.text[:half], made.text[half:]))
        writer.write(f"POST {url} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n".encode())
        assert b" 403 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert made.text[half:].encode() not in b"".join(map(bytes, made.plain.received))


@pytest.mark.asyncio
async def test_placeholders_of_others_are_only_text(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        other = make_text()
        assert (await asked(made, made.request(f"X-Key: {other}\r\n")))[0] == 200
        assert f"X-Key: {other}" in made.server.last.decode()
        assert made.injection.uses["api"].count == 0
