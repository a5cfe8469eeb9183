"""Callers that go away, do not read, or are many."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import psutil
import pytest

from tests.gateway.answers import DONE, STREAM, chunk_of, refusal
from tests.gateway.serving import LOOPS, PATIENCE, Running, before, chat, one, serving_gateway, wait_until
from tests.gateway.upstream import Reader, Upstream, Writer, read_request, upstream
from tests.unit.servers import STREAM_HEAD, chunk

SOON = 0.1
ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def question(**fields: object) -> bytes:
    body = json.dumps(chat(**fields)).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def silent(server: Upstream, reader: Reader, writer: Writer) -> None:
    """Never answers, and notes when the client has gone."""
    await read_request(reader)
    server.requests += 1
    await reader.read()
    server.left_at = time.monotonic()


async def streams_slowly(server: Upstream, reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    server.requests += 1
    writer.write(STREAM_HEAD + chunk(chunk_of("one ")))
    await reader.read()
    server.left_at = time.monotonic()


async def streams_as_fast_as_it_can(server: Upstream, reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(ENDLESS)
    events = chunk_of("x" * 500) * 100
    while not writer.is_closing():
        writer.write(events)
        await writer.drain()
        server.sent += len(events)


@pytest.mark.parametrize("loop", sorted(LOOPS))
@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_leaves_ends_the_call_at_the_endpoint(stream: bool, loop: str) -> None:
    handler = streams_slowly if stream else silent
    with upstream(handler) as server, serving_gateway(one(server.url), loop=loop) as gateway:
        with gateway.connect() as connection:
            connection.sendall(question(stream=stream))
            wait_until(lambda: server.requests)
            if stream:
                assert connection.recv(100)
        left = time.monotonic()
        wait_until(lambda: server.left_at)
        assert server.left_at - left < SOON + slack()
        wait_until(lambda: gateway.stats()["inFlight"] == 0)


def slack() -> float:
    """How much later than it should something may be because this machine has other things to do, in seconds."""
    began = time.monotonic()
    sum(range(500_000))
    return 10 * (time.monotonic() - began)


def test_a_caller_that_leaves_while_it_waits_is_not_asked_for_again() -> None:
    with before(refusal(429, headers={"retry-after-ms": "600"})) as (gateway, [server]):
        with gateway.connect() as connection:
            connection.sendall(question())
            wait_until(lambda: server.requests)
        wait_until(lambda: gateway.stats()["inFlight"] == 0, 0.5)
        time.sleep(0.7)  # Longer than it would have waited.
    assert len(server.requests) == 1


def test_a_caller_that_leaves_at_once_leaves_nothing_behind() -> None:
    with upstream(silent) as server, serving_gateway(one(server.url)) as gateway:
        for _ in range(50):
            with gateway.connect() as connection:
                connection.sendall(question())
        wait_until(lambda: gateway.stats()["requests"] == 50)
        wait_until(lambda: gateway.stats()["inFlight"] == 0)
        wait_until(lambda: not server.writers)
        assert gateway.stats()["endpoints"][0]["healthy"]


@contextmanager
def gateway_process(url: str) -> Generator[tuple[psutil.Process, int], None, None]:
    """A gateway in a process of its own, whose memory is its own as well; and its port."""
    command = [sys.executable, "-m", "tests.gateway.process", json.dumps(one(url))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout
        try:
            yield psutil.Process(running.pid), int(running.stdout.readline())
        finally:
            running.kill()


def test_what_nobody_reads_is_not_piled_up() -> None:
    with upstream(streams_as_fast_as_it_can) as server, gateway_process(server.url) as (process, port):
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        with connection:
            connection.sendall(question(stream=True))
            connection.recv(1000)
            wait_until(lambda: stands_still(server))
            stalled, memory = server.sent, process.memory_info().rss
            for _ in range(100):
                read(connection, 2**20)
            wait_until(lambda: server.sent >= stalled + 90 * 2**20)
            wait_until(lambda: stands_still(server))
            grown = process.memory_info().rss - memory
    assert stalled < 16 * 2**20  # most of it in the buffers of the kernel
    assert grown < 8 * 2**20


def stands_still(server: Upstream) -> bool:
    seen = server.sent
    time.sleep(0.2)
    return server.sent == seen


def read(connection: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(connection.recv(min(size, 2**16)))


MANY = 1000


async def opens_and_waits(server: Upstream, reader: Reader, writer: Writer) -> None:
    """Begins a stream, and ends it when the test says so."""
    await read_request(reader)
    writer.write(STREAM_HEAD + chunk(STREAM[: -len(DONE)]))
    server.requests += 1
    while not server.released.is_set():  # noqa: ASYNC110 the test that sets it runs in another loop
        await asyncio.sleep(0.05)
    writer.write(chunk(DONE) + b"0\r\n\r\n")


def test_a_thousand_open_streams() -> None:
    with upstream(opens_and_waits) as server, serving_gateway(one(server.url)) as gateway:
        answers = asyncio.run(_many(gateway, server))
        wait_until(lambda: gateway.stats()["inFlight"] == 0)
    assert [answer.startswith(b"HTTP/1.1 200 OK") for answer in answers] == [True] * MANY


async def _many(gateway: Running, server: Upstream) -> list[bytes]:
    async def whole() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(question(stream=True))
        answer = await reader.readuntil(DONE)
        writer.close()
        await writer.wait_closed()
        return answer

    callers = [asyncio.create_task(whole()) for _ in range(MANY)]
    while server.requests < MANY:  # noqa: ASYNC110 the server that counts runs in another loop
        await asyncio.sleep(0.02)
    assert (await asyncio.to_thread(gateway.stats))["inFlight"] == MANY
    server.released.set()
    return await asyncio.gather(*callers)
