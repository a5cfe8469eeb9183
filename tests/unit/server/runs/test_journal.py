"""What a run tells is there for readers, here and in other processes, from any place on and within limits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator

import anyio
import pytest
import pytest_asyncio

from agentrun._serving.openai_error import ApiError
from agentrun.server.runs.frames import Frame, numbered
from agentrun.server.runs.journal import Journal, LocalJournal, Recorded, State, Writing
from agentrun.server.runs.record import Limits
from agentrun.server.runs.redis_journal import RedisJournal
from tests.unit.gateway.redis_server import RedisServer
from tests.unit.server.runs.conftest import LEASE_SECONDS
from tests.unit.server.runs.test_sessions import PATIENCE, until

pytestmark = pytest.mark.asyncio

LIMITS = Limits(frames=50, bytes=100_000)
# Where the run is written, and where it is read: in the same process, or in another one through Redis.
PLACES = [
    "here",
    pytest.param("here, with Redis", marks=pytest.mark.xdist_group("runs-redis")),
    pytest.param("elsewhere", marks=pytest.mark.xdist_group("runs-redis")),
]


class Pair:
    """A journal in which a run is written, and one in which it is read."""

    def __init__(self, writer: Journal, reader: Journal) -> None:
        self.writer = writer
        self.reader = reader

    async def begin(self, *, keep_seconds: float = 60, waits: bool = False) -> Writing:
        writing = await self.writer.begin("r1", {"what": "test"}, keep_seconds=keep_seconds, waits=waits)
        assert writing is not None
        return writing

    async def find(self) -> Recorded:
        found = await self.reader.find("r1")
        assert found is not None
        return found


@pytest_asyncio.fixture(params=PLACES)
async def pair(request: pytest.FixtureRequest, prefix: str) -> AsyncGenerator[Pair, None]:
    if request.param == "here":
        local = LocalJournal(LIMITS)
        made = Pair(local, local)
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        writer = RedisJournal(server.url, LIMITS, lease_seconds=LEASE_SECONDS, prefix=prefix)
        is_other = request.param == "elsewhere"
        made = Pair(
            writer, RedisJournal(server.url, LIMITS, lease_seconds=LEASE_SECONDS, prefix=prefix) if is_other else writer
        )
    yield made
    await made.writer.close()
    await made.reader.close()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


def frame(number: int, size: int = 0) -> Frame:
    return Frame(number, b'data: {"sequence_number":%d,"text":"%b"}\n\n' % (number, b"x" * size))


async def read(found: Recorded | Writing, after: int = -1) -> list[int]:
    with anyio.fail_after(PATIENCE):
        return [frame.sequence async for frame in found.follow(after)]


async def rest_of(reading: AsyncGenerator[Frame, None]) -> list[int]:
    with anyio.fail_after(PATIENCE):
        return [frame.sequence async for frame in reading]


async def until_state(pair: Pair, condition: Callable[[State], bool]) -> State:
    with anyio.fail_after(PATIENCE):
        while True:
            state = await (await pair.find()).state()
            if condition(state):
                return state
            await asyncio.sleep(0.001)


async def gone(found: Recorded | Writing, after: int) -> str:
    """What a reader is told that comes too late."""
    with pytest.raises(ApiError) as refused:
        await read(found, after)
    assert (refused.value.status, refused.value.code) == (410, "events_gone")
    return refused.value.message


async def test_readers_get_everything_from_where_they_say_as_it_comes(pair: Pair) -> None:
    writing = await pair.begin()
    found = await pair.find()
    reading = [asyncio.create_task(read(found, after)) for after in (-1, -1, 3, 100)]
    for number in range(20):
        writing.add(frame(number))
        await writing.room()
        await asyncio.sleep(0.001)
    assert not any(task.done() for task in reading)
    late = asyncio.create_task(read(found, 17))
    await writing.end()
    assert [await task for task in reading] == [[*range(20)], [*range(20)], [*range(4, 20)], []]
    assert await late == [18, 19]
    again = await pair.find()
    assert await read(again, 18) == [19]
    assert await read(again, 19) == []


async def test_frames_are_the_same_bytes(pair: Pair) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b'data: {"sequence_number":0}\n\ndata: {"sequence_number":1,"text":"\xc3\xa4"}\n\n'
        yield b"data: raw\n\n"
        yield b": a comment\n\n"
        yield b'data: {"sequence_number":2}\n\n'
        yield b"data: last\n\n"

    frames = [each async for each in numbered(chunks())]
    assert [(each.sequence, each.is_numbered) for each in frames] == [
        (0, True),
        (1, True),
        (2, False),
        (2, False),
        (2, True),
        (3, False),
    ]
    writing = await pair.begin()
    for each in frames:
        writing.add(each)
    await writing.end()
    for after, rest in ((-1, frames), (0, frames[1:]), (1, frames[2:]), (2, frames[5:])):
        assert [each async for each in (await pair.find()).follow(after)] == rest
    assert b"".join(each.told() for each in frames[1:3]) == (
        b'id: 1\ndata: {"sequence_number":1,"text":"\xc3\xa4"}\n\ndata: raw\n\n'
    )


async def test_the_oldest_go_when_there_are_too_many(pair: Pair) -> None:
    writing = await pair.begin()
    for number in range(200):
        writing.add(frame(number))
        await writing.room()
    await writing.end()
    found = await pair.find()
    assert "the oldest that is there" in await gone(found, -1)
    await gone(found, 100)
    rest = await read(found, 160)
    assert rest == [*range(161, 200)]


async def test_the_oldest_go_when_they_are_too_large(pair: Pair) -> None:
    writing = await pair.begin()
    for number in range(40):
        writing.add(frame(number, 10_000))
        await writing.room()
    await writing.end()
    found = await pair.find()
    await gone(found, 20)
    assert await read(found, 32) == [*range(33, 40)]


async def test_a_reader_that_falls_behind_is_told(pair: Pair) -> None:
    writing = await pair.begin()
    writing.add(frame(0))
    found = await pair.find()
    reading = found.follow()
    assert (await anext(reading)).sequence == 0
    for number in range(1, 1200):
        writing.add(frame(number))
        await writing.room()
    await writing.end()
    with pytest.raises(ApiError, match="no longer kept"):
        await rest_of(reading)


@pytest.mark.parametrize("pair", ["here", "here, with Redis"], indirect=True)
@pytest.mark.xdist_group("runs-redis")
async def test_a_run_that_waits_loses_nothing_that_its_reader_lacks(pair: Pair) -> None:
    writing = await pair.begin(waits=True)
    written = 0

    async def write() -> None:
        nonlocal written
        for number in range(300):
            writing.add(frame(number))
            written += 1
            await writing.room()
        await writing.end()

    reading = writing.follow()
    task = asyncio.create_task(write())
    await asyncio.sleep(0.1)
    assert written <= LIMITS.frames
    assert [(await anext(reading)).sequence for _ in range(100)] == [*range(100)]
    await reading.aclose()
    await asyncio.sleep(0.1)
    assert 100 <= written <= 100 + 1.1 * LIMITS.frames
    assert await read(await pair.find(), 99) == [*range(100, 300)]
    await task


async def test_its_state_is_told(pair: Pair) -> None:
    assert await pair.reader.find("r1") is None
    writing = await pair.begin()
    state = await (await pair.find()).state()
    assert (state.is_over, state.last, state.about) == (False, None, {"what": "test"})
    writing.add(frame(0))
    state = await until_state(pair, lambda state: state.last is not None)
    assert state.last == frame(0)
    await writing.end(ApiError(418, "no tea", "teapot"))
    state = await until_state(pair, lambda state: state.is_over)
    assert state.last == frame(0)
    assert state.error is not None
    assert (state.error.status, state.error.message, state.error.code) == (418, "no tea", "teapot")
    with pytest.raises(ApiError, match="no tea"):
        await read(await pair.find())


async def test_an_id_is_taken_while_its_run_is_under_way(pair: Pair) -> None:
    writing = await pair.begin()
    writing.add(frame(0))
    assert await pair.reader.begin("r1", {}, keep_seconds=60, waits=False) is None
    assert await pair.writer.begin("r1", {}, keep_seconds=60, waits=False) is None
    await writing.end()
    await until_state(pair, lambda state: state.is_over)
    another = await pair.reader.begin("r1", {}, keep_seconds=60, waits=False)
    assert another is not None
    await another.end()
    assert await read(await pair.find()) == []


async def test_readers_are_known_wherever_they_are(pair: Pair) -> None:
    writing = await pair.begin()
    assert not writing.has_readers()
    reading = asyncio.create_task(read(await pair.find()))
    await until(writing.has_readers)
    reading.cancel()
    await until(lambda: not writing.has_readers())
    await writing.end()


async def test_what_is_over_is_forgotten_after_its_time(pair: Pair) -> None:
    writing = await pair.begin(keep_seconds=0.05)
    await writing.end()
    began = time.monotonic()
    while await pair.reader.find("r1") is not None:
        await asyncio.sleep(0.01)
        assert time.monotonic() < began + PATIENCE


async def test_records_that_are_over_are_limited_together() -> None:
    journal = LocalJournal(LIMITS, most_bytes=50_000)
    for number in range(10):
        writing = await journal.begin(f"r{number}", {}, keep_seconds=60, waits=False)
        assert writing is not None
        writing.add(frame(0, 10_000))
        await writing.end()
    kept = [number for number in range(10) if await journal.find(f"r{number}")]
    assert kept == [6, 7, 8, 9]
    await journal.close()


_WRITES_AND_WAITS = """
import asyncio, sys
from agentrun.server.runs.frames import Frame
from agentrun.server.runs.redis_journal import RedisJournal

async def main():
    journal = RedisJournal(sys.argv[1], lease_seconds=0.6, prefix=sys.argv[2])
    writing = await journal.begin("r1", {}, keep_seconds=60, waits=False)
    for number in range(3):
        writing.add(Frame(number, b"data: %d\\n\\n" % number))
    print("began", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def writer(redis_server: RedisServer, prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which has written three frames."""
    command = [sys.executable, "-c", _WRITES_AND_WAITS, redis_server.url, prefix]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"began\n"
        yield process
        process.kill()


@pytest.mark.xdist_group("runs-redis")
async def test_readers_of_a_process_that_is_killed_are_told(
    redis_server: RedisServer, prefix: str, writer: subprocess.Popen[bytes]
) -> None:
    journal = RedisJournal(redis_server.url, lease_seconds=LEASE_SECONDS, prefix=prefix)
    found = await journal.find("r1")
    assert found is not None
    reading = found.follow()
    assert [(await anext(reading)).sequence for _ in range(3)] == [0, 1, 2]
    assert not (await found.state()).is_over
    writer.kill()
    with pytest.raises(ApiError) as lost:
        await rest_of(reading)
    assert lost.value.code == "run_lost"
    state = await found.state()
    assert (state.is_over, state.last) == (True, Frame(2, b"data: 2\n\n"))
    assert state.error is not None
    await journal.close()


@pytest.mark.xdist_group("runs-redis")
async def test_what_is_told_while_redis_fails_is_sent_later(own_redis: RedisServer) -> None:
    writer, reader = RedisJournal(own_redis.url), RedisJournal(own_redis.url)
    writing = await writer.begin("r1", {}, keep_seconds=60, waits=False)
    assert writing is not None
    for number in range(2000):
        if number % 400 == 0:
            own_redis.command("CLIENT", "KILL", "TYPE", "normal")
        writing.add(frame(number))
        with anyio.fail_after(PATIENCE):
            await writing.room()
    await writing.end()
    found = await reader.find("r1")
    assert found is not None
    assert await read(found) == [*range(2000)]
    await writer.close()
    await reader.close()
