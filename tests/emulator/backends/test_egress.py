from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentrun.emulator.backends.egress import EgressProxy, Refusal, is_public, parse_head

LONG = b"x" * 1_000_000


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + head + LONG)
    await writer.drain()
    writer.close()


@asynccontextmanager
async def proxied(folder: Path, proxy: EgressProxy) -> AsyncGenerator[tuple[Path, int]]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    await proxy.start(folder / "p")
    try:
        yield folder / "p", server.sockets[0].getsockname()[1]
    finally:
        await proxy.stop()
        server.close()


async def ask(path: Path, text: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(text.encode())
    data = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return data


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.100.100.200", "0.0.0.0"),
        *("224.0.0.1", "::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("2002:7f00:1::", "64:ff9b::7f00:1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"GET ftp://x/ HTTP/1.1\r\n\r\n"])
def test_what_is_no_proxy_request(head: bytes) -> None:
    with pytest.raises(Refusal, match="not a proxy request"):
        parse_head(head)


def test_absolute_form_becomes_origin_form() -> None:
    target = parse_head(b"GET http://a.example:81/x?y=1 HTTP/1.1\r\nHost: a.example\r\nProxy-Authorization: s\r\n\r\n")
    assert (target.host, target.port, target.tunnel) == ("a.example", 81, False)
    assert target.head == b"GET /x?y=1 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1"])
async def test_the_host_is_refused_also_by_name(tmp_path: Path, host: str) -> None:
    async with proxied(tmp_path, EgressProxy()) as (path, port):
        for request in (f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n", f"GET http://{host}:{port}/ HTTP/1.1\r\n\r\n"):
            assert (await ask(path, request)).startswith(b"HTTP/1.1 403")


@pytest.mark.asyncio
async def test_permitted_addresses_are_reached_in_both_forms(tmp_path: Path) -> None:
    async with proxied(tmp_path, EgressProxy(lambda address: True)) as (path, port):
        plain = await ask(path, f"GET http://localhost:{port}/a HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"GET /a HTTP/1.1" in plain
        assert plain.endswith(LONG)
        tunnel = await ask(path, f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
        assert b"200 Connection established" in tunnel
        assert b"GET /b HTTP/1.1" in tunnel
        assert tunnel.endswith(LONG)


@pytest.mark.asyncio
async def test_an_unreachable_target_is_a_bad_gateway(tmp_path: Path) -> None:
    async with proxied(tmp_path, EgressProxy(lambda address: True)) as (path, _):
        answered = await ask(path, "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 502")
    assert b"cannot connect to 127.0.0.1:1" in answered
