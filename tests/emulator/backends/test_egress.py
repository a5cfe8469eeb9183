"""The way out: what reaches an origin server through the proxy, byte for byte, and what does not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentrun.emulator.backends import egress
from agentrun.emulator.backends.base import NetworkPolicy, NetworkRule
from agentrun.emulator.backends.egress import EgressProxy
from agentrun.emulator.backends.proxy_request import Refusal, parse_head
from tests.emulator.backends.conftest import eventually

LONG = b"x" * 1_000_000
LOCAL = NetworkRule(cidr="127.0.0.0/8")


@dataclass
class Origin:
    """A server that remembers everything it was sent, and answers each head with itself and a long body."""

    port: int = 0
    received: list[bytearray] = field(default_factory=list[bytearray])
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = bytearray()
        self.received.append(got)
        self.open += 1
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                got += data
                if b"\r\n\r\n" in data:
                    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + data.partition(b"\r\n\r\n")[0])
                if b"/long" in data:
                    writer.write(LONG)
                if b"/end" in data:
                    break
                await writer.drain()
        self.open -= 1
        writer.close()


@dataclass
class Way:
    """A proxy on a socket, the policy that it goes by, and an origin server on loopback."""

    path: Path
    proxy: EgressProxy
    origin: Origin
    allowed: NetworkPolicy

    def policy(self) -> NetworkPolicy:
        return self.allowed


@asynccontextmanager
async def way(
    folder: Path, allowed: NetworkPolicy | None = None, *, local_is_public: bool = True
) -> AsyncGenerator[Way]:
    origin = Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    origin.port = server.sockets[0].getsockname()[1]
    proxy = EgressProxy(lambda address: True) if local_is_public else EgressProxy()
    made = Way(folder / "p", proxy, origin, allowed or NetworkPolicy())
    await proxy.listen(made.path, made.policy)
    try:
        yield made
    finally:
        await proxy.stop()
        server.close()


def listing(*rules: NetworkRule) -> NetworkPolicy:
    return NetworkPolicy("allow-list", rules)


async def ask(made: Way, text: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(made.path))
    writer.write(text.format(port=made.origin.port).encode())
    data = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return data


async def tunnel(made: Way) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(str(made.path))
    writer.write(f"CONNECT localhost:{made.origin.port} HTTP/1.1\r\n\r\n".encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


# Requests


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1",
        b"nonsense",
        b"GET ftp://x/ HTTP/1.1",
        b"GET https://x/ HTTP/1.1",
        b"GET http:///x HTTP/1.1",
        b"GET http://x/ HTTP/2.0",
        b"GET http://a@b/ HTTP/1.1",
        b"GET http://a:b@c/ HTTP/1.1",
        b"GET http://a\\@b/ HTTP/1.1",
        b"GET http://a%2eb/ HTTP/1.1",
        b"GET http://a/\tb HTTP/1.1",
        b"GET http://a:0/ HTTP/1.1",
        b"GET http://a:65536/ HTTP/1.1",
        b"GET http://[::1%eth0]/ HTTP/1.1",
        b"GET http://[::1/ HTTP/1.1",
        b"GET http://m\xc3\xbcnchen.de/ HTTP/1.1",
        b"CONNECT http://a:1 HTTP/1.1",
        b"CONNECT a@b:443 HTTP/1.1",
        b"CONNECT a:443/x HTTP/1.1",
        b"CONNECT a:443\nHost: b HTTP/1.1",
        b"GET http://a/ HTTP/1.1\r\nX: 1\nHost: evil",
        b"GET http://a/ HTTP/1.1\r\nX : 1",
        b"GET http://a/ HTTP/1.1\r\n folded",
        b"GET http://a/ HTTP/1.1\r\nX: a\0b",
        b"POST http://a/ HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        b"POST http://a/ HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4",
        b"POST http://a/ HTTP/1.1\r\nContent-Length: +3",
        b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
        b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ],
)
def test_what_is_no_proxy_request(head: bytes) -> None:
    with pytest.raises(Refusal, match="not a proxy request"):
        parse_head(head + b"\r\n\r\n")


def test_absolute_form_becomes_origin_form_for_the_host_that_was_checked() -> None:
    request = parse_head(
        b"GET http://A.example.:81/x?y=1 HTTP/1.1\r\nHost: evil\r\nProxy-Authorization: s\r\n"
        b"Connection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nAccept: */*\r\n\r\n"
    )
    assert (request.destination.host, request.destination.port, request.is_tunnel) == ("a.example", 81, False)
    head = b"GET /x?y=1 HTTP/1.1\r\nHost: a.example:81\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    assert request.head == head
    assert b"Host: a\r\n" in parse_head(b"GET http://a HTTP/1.1\r\nConnection: Content-Length\r\n\r\n").head
    assert parse_head(b"GET http://a?b HTTP/1.1\r\n\r\n").head.startswith(b"GET /?b HTTP/1.1\r\n")
    assert parse_head(b"CONNECT [2606:4700:0::1]:443 HTTP/1.1\r\n\r\n").destination.host == "2606:4700::1"


# Addresses


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("allowed", [NetworkPolicy(), listing(NetworkRule(domain="*"), NetworkRule(cidr="0.0.0.0/0"))])
async def test_the_host_is_refused_also_by_name(tmp_path: Path, host: str, allowed: NetworkPolicy) -> None:
    async with way(tmp_path, allowed, local_is_public=False) as made:
        for request in (f"CONNECT {host}:{{port}} HTTP/1.1\r\n\r\n", f"GET http://{host}:{{port}}/ HTTP/1.1\r\n\r\n"):
            assert (await ask(made, request)).startswith(b"HTTP/1.1 403")
    assert not made.origin.received


@pytest.mark.asyncio
async def test_a_private_address_is_reached_when_a_rule_names_it(tmp_path: Path) -> None:
    async with way(tmp_path, listing(LOCAL), local_is_public=False) as made:
        for host in ("127.0.0.1", "localhost"):
            answer = await ask(made, f"GET http://{host}:{{port}}/end HTTP/1.1\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.asyncio
async def test_permitted_addresses_are_reached_in_both_forms(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        plain = await ask(made, "GET http://localhost:{port}/long/end HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"GET /long/end HTTP/1.1" in plain
        assert plain.endswith(LONG)
        through = await ask(made, "CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nGET /long/end HTTP/1.1\r\n\r\n")
        assert b"200 Connection established" in through
        assert through.endswith(LONG)


@pytest.mark.asyncio
async def test_an_unreachable_target_is_a_bad_gateway(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        answered = await ask(made, "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 502")
    assert b"cannot connect to 127.0.0.1:1" in answered


# Policies


@pytest.mark.asyncio
async def test_a_refusal_names_the_rule_that_is_needed(tmp_path: Path) -> None:
    async with way(tmp_path, listing(NetworkRule(domain="localhost", methods=("GET",), paths=("/v1/*",)))) as made:
        port = made.origin.port
        refused = await ask(made, "CONNECT other.invalid:443 HTTP/1.1\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 403")
        assert b'{"domain": "other.invalid", "ports": [443]}' in refused
        posted = await ask(made, "POST http://localhost:{port}/v1/a HTTP/1.1\r\n\r\n")
        assert f'"ports": [{port}], "methods": ["POST"], "paths": ["/v1/a"]'.encode() in posted
        assert b"inside a tunnel" in await ask(made, "CONNECT localhost:{port} HTTP/1.1\r\n\r\n")
        assert b" 200 " in await ask(made, "GET http://localhost:{port}/v1/end HTTP/1.1\r\n\r\n")
        assert len(made.origin.received) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("GET http://localhost:{port}/v1/a HTTP/1.1\r\n\r\n", b""),
        ("POST http://localhost:{port}/v1/a HTTP/1.1\r\nContent-Length: 4\r\n\r\n", b"body"),
        (
            "POST http://localhost:{port}/v1/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"2;name=value\r\nbo\r\n2\r\ndy\r\n0\r\nTrailer: x\r\n\r\n",
        ),
    ],
)
async def test_a_second_request_on_a_connection_goes_nowhere(tmp_path: Path, head: str, body: bytes) -> None:
    async with way(tmp_path, listing(NetworkRule(domain="localhost", paths=("/v1/*",)))) as made:
        reader, writer = await asyncio.open_unix_connection(str(made.path))
        writer.write(head.format(port=made.origin.port).encode() + body)
        writer.write(b"GET http://localhost/admin HTTP/1.1\r\nHost: localhost\r\n\r\nGET /admin HTTP/1.1\r\n\r\n")
        assert b"/v1/a" in await asyncio.wait_for(reader.readuntil(b"Connection: close"), 10)
        writer.close()
        await eventually(lambda: not made.origin.open)
        (received,) = made.origin.received
        assert b"admin" not in received
        sent = bytes(received).partition(b"\r\n\r\n")[2]
        assert sent == (b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n" if b"2;" in body else body)


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"zz\r\n", b"-1\r\n", b"1\r\nab\r\n", b"0x1\r\n"])
async def test_malformed_chunks_end_the_connection(tmp_path: Path, body: bytes) -> None:
    async with way(tmp_path) as made:
        reader, writer = await asyncio.open_unix_connection(str(made.path))
        head = f"POST http://localhost:{made.origin.port}/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode() + body)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 10)
        await eventually(lambda: not made.origin.open)
        writer.close()


@pytest.mark.asyncio
async def test_a_changed_policy_cuts_what_it_does_not_allow(tmp_path: Path) -> None:
    async with way(tmp_path, listing(NetworkRule(domain="localhost"))) as made:
        reader, writer = await tunnel(made)
        made.allowed = listing(NetworkRule(domain="localhost"), NetworkRule(domain="a.example"))
        made.proxy.recheck()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        made.allowed = NetworkPolicy("off")
        made.proxy.recheck()
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 10)
        await eventually(lambda: not made.origin.open)
        assert b"network of this sandbox is off" in await ask(made, "CONNECT localhost:{port} HTTP/1.1\r\n\r\n")
        writer.close()


# Connections


@pytest.mark.asyncio
@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
async def test_a_connection_that_was_handed_over_is_served(tmp_path: Path, family: int) -> None:
    async with way(tmp_path, local_is_public=True) as made:
        inside, outside = socket.socketpair() if family == socket.AF_UNIX else tcp_pair()
        work = asyncio.ensure_future(made.proxy.serve(outside, made.policy))
        reader, writer = await asyncio.open_connection(sock=inside)
        writer.write(f"GET http://localhost:{made.origin.port}/long/end HTTP/1.1\r\n\r\n".encode())
        assert (await asyncio.wait_for(reader.read(), 10)).endswith(LONG)
        writer.close()
        await asyncio.wait_for(work, 10)
        assert outside.fileno() == -1


@pytest.mark.asyncio
async def test_what_was_handed_over_ends_with_its_task(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        inside, outside = socket.socketpair()
        work = asyncio.ensure_future(made.proxy.serve(outside, made.policy))
        reader, writer = await asyncio.open_connection(sock=inside)
        writer.write(f"CONNECT localhost:{made.origin.port} HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        work.cancel()
        await eventually(lambda: not made.origin.open)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


@pytest.mark.asyncio
async def test_one_sandbox_cannot_take_all_connections(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        held = [await tunnel(made) for _ in range(egress.MOST_CONNECTIONS)]
        refused = await ask(made, "CONNECT localhost:{port} HTTP/1.1\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 503")
        other = tmp_path / "other"
        await made.proxy.listen(other, NetworkPolicy)
        _, writer = await tunnel(Way(other, made.proxy, made.origin, NetworkPolicy()))
        writer.close()
        made.proxy.cut(made.policy)
        await eventually(lambda: made.origin.open <= 1)
        for _, writer in held:
            writer.close()
        (await tunnel(made))[1].close()


@pytest.mark.asyncio
async def test_the_end_of_a_listener_ends_its_connections(tmp_path: Path) -> None:
    async with way(tmp_path) as made:
        path = tmp_path / "q"
        end = await made.proxy.listen(path, NetworkPolicy)
        _, writer = await tunnel(Way(path, made.proxy, made.origin, NetworkPolicy()))
        end()
        await eventually(lambda: not made.origin.open)
        assert not path.exists()
        writer.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        inside = socket.create_connection(server.getsockname())
        return inside, server.accept()[0]
