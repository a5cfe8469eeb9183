"""Connections to endpoints: kept, closed by the other side at the worst moment, lost under load."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentrun._serving.upstream import Connection, Host, Pool
from tests.gateway.answers import STREAM
from tests.gateway.serving import LOOPS, PATIENCE, Running, chat, one, serving_gateway, wait_until
from tests.gateway.upstream import Reader, Upstream, Writer, always, read_request, upstream
from tests.unit.servers import STREAM_END, STREAM_HEAD, chunk

WHOLE = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{"choices": []}'
STREAMED = STREAM_HEAD + chunk(STREAM) + STREAM_END


def test_calls_in_a_row_use_one_connection() -> None:
    with upstream(always(WHOLE)) as server, serving_gateway(one(server.url)) as gateway:
        for _ in range(20):
            assert gateway.post().status_code == 200
    assert (server.requests, server.accepted) == (20, 1)


def test_a_stream_that_was_read_to_its_end_leaves_its_connection_to_the_next() -> None:
    with upstream(always(STREAMED)) as server, serving_gateway(one(server.url)) as gateway:
        for _ in range(20):
            assert gateway.post(chat(stream=True)).content == STREAM
    assert server.accepted == 1


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_idle_connections_that_the_server_closed_are_not_used(loop: str) -> None:
    with upstream(always(WHOLE)) as server:
        alone = one(server.url, num_retries=0)
        with serving_gateway(alone, loop=loop) as gateway:
            for _ in range(20):
                assert gateway.post().status_code == 200
                server.cut_idle()


async def hangs_up_on_the_second(server: Upstream, reader: Reader, writer: Writer) -> None:
    """Closes the connection in the very moment in which the next request arrives on it."""
    await read_request(reader)
    server.requests += 1
    writer.write(WHOLE)
    await writer.drain()
    await reader.read(1)
    writer.transport.abort() if server.requests % 2 else writer.close()


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_connections_that_close_in_the_very_moment_cost_nobody_an_answer(loop: str) -> None:
    with upstream(hangs_up_on_the_second) as server:
        alone = one(server.url, num_retries=0)
        with serving_gateway(alone, loop=loop) as gateway:
            for _ in range(20):
                answer = gateway.post()
                assert (answer.status_code, answer.headers["x-agentrun-attempts"]) == (200, "1")
    assert (server.requests, server.accepted) == (20, 20)


def ask_for_a_while(gateway: Running, until: Sequence[object], *, stream: bool) -> Counter[str]:
    """What came of calls until there is something in `until`: the status, and whether the answer was whole."""
    results: Counter[str] = Counter()
    while not until:
        answer = gateway.post(chat(stream=stream))
        whole = answer.content == STREAM if stream else answer.content == WHOLE.split(b"\r\n\r\n")[1]
        results[f"{answer.status_code} {'whole' if whole else answer.text[-200:]}"] += 1
    return results


@pytest.mark.parametrize("stream", [False, True])
def test_an_endpoint_that_dies_under_load_costs_nobody_an_answer(stream: bool) -> None:
    ended: list[object] = []
    reply = STREAMED if stream else WHOLE
    with upstream(always(reply, 0.01)) as first, upstream(always(reply, 0.01)) as second:
        both = one(first.url, second.url)
        with serving_gateway(both) as gateway, ThreadPoolExecutor(16) as callers:
            calls = [callers.submit(ask_for_a_while, gateway, ended, stream=stream) for _ in range(16)]
            try:
                for _ in range(3):
                    first.requests = 0
                    wait_until(lambda: first.requests > 20)
                    first.kill()
                    time.sleep(0.1)
                    first.start()
            finally:
                ended.append(True)
            results = sum((call.result() for call in calls), Counter[str]())
    assert set(results) == {"200 whole"}


@pytest.mark.asyncio
async def test_only_so_many_idle_connections_are_kept() -> None:
    with upstream(always(WHOLE)) as server:
        pool, host = Pool(), Host("127.0.0.1", server.port)
        made = [await pool.connect(host) for _ in range(300)]
        for connection in made:
            pool.release(host, connection)
        await until(lambda: sum(connection.closed for connection in made) == 300 - 256)
        pool.close()
        await until(lambda: all(connection.closed for connection in made))


@pytest.mark.asyncio
async def test_connections_that_were_idle_for_long_are_not_used() -> None:
    with upstream(always(WHOLE)) as server:
        pool, host = Pool(), Host("127.0.0.1", server.port)
        old = await aged(pool, host, 31)
        assert pool.idle(host) is None
        young = await aged(pool, host, 29)
        assert pool.idle(host) is young
        pool.close()
        pool.release(host, young)
        await until(lambda: old.closed and young.closed)


async def aged(pool: Pool, host: Host, seconds: float) -> Connection:
    """A connection that is idle for so long already."""
    connection = await pool.connect(host)
    pool.release(host, connection)
    connection.idle_since -= seconds
    return connection


async def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)
