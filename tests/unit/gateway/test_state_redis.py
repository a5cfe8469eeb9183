"""State in Redis: between processes, and without the server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio

from agentrun.gateway.limits.concurrency import Places
from agentrun.gateway.state.base import Spending, Take
from agentrun.gateway.state.redis import RedisState
from tests.unit.gateway.clocks import ManualClock
from tests.unit.gateway.crowd import plan
from tests.unit.gateway.redis_server import RedisServer

CROWD = Path(__file__).with_name("crowd.py")
TAKE = Take("a", 3, 600)


@pytest_asyncio.fixture
async def state(own_redis_server: RedisServer, clock: ManualClock) -> AsyncIterator[RedisState]:
    state = RedisState(own_redis_server.url, timeout_seconds=2, clock=clock)
    yield state
    await state.close()


def prefix(server: RedisServer) -> str:
    return Path(server.url).parent.name + ":"


@contextmanager
def process(*arguments: str) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, str(CROWD), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def read_line(running: subprocess.Popen[str]) -> str:
    assert running.stdout
    return running.stdout.readline().strip()


def answers_of_two(*arguments: str) -> list[str]:
    """What two processes print that began at the same time."""
    with ExitStack() as stack:
        both = [stack.enter_context(process(*arguments)) for _ in range(2)]
        assert [read_line(one) for one in both] == ["ready", "ready"]
        for one in both:
            assert one.stdin
            one.stdin.write("go\n")
            one.stdin.flush()
        return [read_line(one) for one in both]


def test_two_processes_share_a_limit_exactly(own_redis_server: RedisServer) -> None:
    let_through = [int(answer) for answer in answers_of_two("take", own_redis_server.url, "1000", "1500")]
    assert sum(let_through) == 1000
    assert min(let_through) > 0, "both had a part in it"


def test_two_processes_share_places_exactly(own_redis_server: RedisServer) -> None:
    calls = [
        call for answer in answers_of_two("enter", own_redis_server.url, "5", "100") for call in json.loads(answer)
    ]
    assert len(calls) == 200
    begun, ended = sorted(call[0] for call in calls), sorted(call[1] for call in calls)
    assert max(sum(b <= at for b in begun) - sum(e <= at for e in ended) for at in begun) == 5


@pytest.mark.asyncio
async def test_a_killed_process_holds_its_place_only_until_its_lease_is_over(own_redis_server: RedisServer) -> None:
    state = RedisState(own_redis_server.url, prefix=prefix(own_redis_server), timeout_seconds=20)
    with process("hold", own_redis_server.url, "1.5") as holder:
        assert read_line(holder) == "inside"
        await asyncio.sleep(2)
        assert await state.enter("proxy:crowd", 1, 30) is None, "it lives, and renews its lease"
    places, killed = Places(state), time.monotonic()
    await places.leave(await places.enter_proxy(plan(1)))
    assert time.monotonic() - killed < 5
    await places.close()
    await state.close()


@pytest.mark.asyncio
async def test_a_cancellation_is_never_lost(own_redis_server: RedisServer) -> None:
    state = RedisState(own_redis_server.url, timeout_seconds=20)
    cancelled = 0
    for turns in range(1000):
        asked = asyncio.create_task(state.ejected())
        for _ in range(turns % 50):  # From before the connection is there to after the answer has come.
            await asyncio.sleep(0)
        if asked.cancel():
            cancelled += 1
            with pytest.raises(asyncio.CancelledError):
                await asked
    assert cancelled > 100
    await state.close()


@pytest.mark.asyncio
async def test_without_a_server_each_process_counts_for_itself(
    own_redis_server: RedisServer, state: RedisState, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis_server.stop()
    assert [(await state.take([TAKE])).full for _ in range(4)] == [None, None, None, 0]
    assert [await state.enter("a", 1, 30) is not None for _ in range(2)] == [True, False]
    await state.eject("a", 30)
    assert list(await state.ejected()) == ["a"]
    await state.keep("a", b"x", 30, "group", 100)
    assert await state.find("a") is None
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"


@pytest.mark.asyncio
async def test_a_server_that_comes_back_is_used_again(
    own_redis_server: RedisServer, state: RedisState, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.gather(*(state.take([TAKE]) for _ in range(10)))
    own_redis_server.stop()
    await state.take([TAKE])
    own_redis_server.start()
    assert (await state.take([TAKE])).left == (1,), "it does not ask each time whether the server is back"
    clock.advance(1.1)
    assert (await state.take([TAKE])).left == (2,), "a new server, which has forgotten everything"
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        "Redis cannot be used",
        "Redis can be used again",
    ]


@pytest.mark.asyncio
async def test_a_server_that_hangs_delays_one_call_and_briefly(
    own_redis_server: RedisServer, clock: ManualClock
) -> None:
    state = RedisState(own_redis_server.url, timeout_seconds=0.2, clock=clock)
    await state.take([TAKE])
    own_redis_server.hang()
    began = time.monotonic()
    assert (await state.take([TAKE])).full is None
    first, began = time.monotonic() - began, time.monotonic()
    for _ in range(100):
        await state.take([TAKE])
        await state.find("a")
    assert 0.2 <= first < 1
    assert time.monotonic() - began < 0.15, "the others do not wait"
    own_redis_server.go_on()
    clock.advance(1.1)
    await asyncio.sleep(0.1)
    await state.keep("a", b"x", 30, "group", 100)
    assert await state.find("a") == b"x"
    await state.close()


@pytest.mark.asyncio
async def test_only_one_call_finds_out_whether_the_server_is_back(
    own_redis_server: RedisServer, clock: ManualClock
) -> None:
    state = RedisState(own_redis_server.url, timeout_seconds=0.3, clock=clock)
    own_redis_server.hang()
    await state.take([TAKE])
    clock.advance(1.1)
    began = time.monotonic()
    waited: list[float] = []

    async def ask() -> None:
        await state.find("a")
        waited.append(time.monotonic() - began)

    await asyncio.gather(*(ask() for _ in range(50)))
    own_redis_server.go_on()
    assert sum(seconds > 0.25 for seconds in waited) == 1
    await state.close()


@pytest.mark.asyncio
async def test_what_was_spent_without_a_server_is_known_and_added_later(
    own_redis_server: RedisServer, clock: ManualClock
) -> None:
    state = RedisState(own_redis_server.url, timeout_seconds=0.2, clock=clock)
    await state.spend([Spending("a", 100, 600)])
    assert await state.spent(["a"]) == [100]
    own_redis_server.hang()
    await state.spent(["a"])
    await state.spend([Spending("a", 20, 600)])
    await state.spend([Spending("a", 3, 600), Spending("b", 1)])
    assert await state.spent(["a", "b"]) == [123, 1], "what was last known, and what this process has spent since"
    own_redis_server.go_on()
    clock.advance(1.1)
    await asyncio.sleep(0.1)
    assert await state.spent(["a", "b"]) == [123, 1]
    await state.spend([Spending("a", 4, 600)])
    other = RedisState(own_redis_server.url, timeout_seconds=5)
    assert await other.spent(["a", "b"]) == [127, 1]
    await other.close()
    await state.close()


@pytest.mark.asyncio
async def test_a_place_taken_without_a_server_counts_when_it_is_back(
    own_redis_server: RedisServer, state: RedisState, clock: ManualClock
) -> None:
    own_redis_server.stop()
    lease = await state.enter("a", 1, 30)
    own_redis_server.start()
    clock.advance(1.1)
    await state.renew("a", [str(lease)], 30)
    assert await state.enter("a", 1, 30) is None
    await state.leave("a", str(lease))
    assert await state.enter("a", 1, 30)


@pytest.mark.asyncio
async def test_a_call_that_is_cancelled_finishes_what_has_happened(redis_server: RedisServer) -> None:
    state = RedisState(redis_server.url, prefix="cancelled:", timeout_seconds=20)
    lease = await state.enter("a", 1, 600)
    for work in (state.spend([Spending("a", 5)]), state.leave("a", str(lease))):
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await state.close()
    assert await state.spent(["a"]) == [5]
    assert await state.enter("a", 1, 600)
    await state.close()


@pytest.mark.asyncio
async def test_a_place_is_given_back_when_its_caller_goes_while_it_asks(redis_server: RedisServer) -> None:
    state = RedisState(redis_server.url, prefix="asking:", timeout_seconds=20)
    for rounds in range(1, 40):
        task = asyncio.ensure_future(state.enter("a", 1, 600))
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await state.leave("a", str(task.result()))
    await state.close()
    assert await state.enter("a", 1, 600)
    await state.close()


@pytest.mark.asyncio
async def test_every_key_has_an_end_and_the_prefix(redis_server: RedisServer) -> None:
    """So that a Redis shared with others is not filled; sums that last for ever are the exception."""
    state = RedisState(redis_server.url, prefix="ends:", timeout_seconds=20)
    taken = await state.take([TAKE])
    await state.correct([TAKE], taken.at, 1)
    await state.correct([TAKE], taken.at, -1)
    await state.correct([Take("unknown", 1, 60)], taken.at, -1)
    await state.enter("a", 1, 30)
    await state.renew("b", ["lease"], 30)
    await state.spend([Spending("a", 1, 30)])
    await state.keep("a", b"x", 30, "group", 100)
    await state.keep("b", b"xx", 30, "tiny", 1)
    await state.eject("a", 30)
    ends = {key: end for key, end in redis_server.ends().items() if key.startswith("ends:")}
    assert set(ends) == {
        "ends:" + key
        for key in ("window:a", "places:a", "places:b", "spent:a", "value:a", "group:group", "sizes:group", "ejected")
    }
    assert min(ends.values()) > 0
    await state.close()


@pytest.mark.asyncio
async def test_nothing_is_sent_twice_when_a_connection_breaks(redis_server: RedisServer) -> None:
    """It may have been counted already."""
    sent: list[bytes] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(redis_server.url.removeprefix("unix://"))
        while data := await reader.read(65536):
            if b"EVALSHA" in data:
                sent.append(data)
                break
            to_server.write(data)
            writer.write(await from_server.read(65536))
        for one in (writer, to_server):
            one.close()

    with TemporaryDirectory(prefix="redis-") as folder:
        async with await asyncio.start_unix_server(relay, f"{folder}/socket"):
            state = RedisState(f"unix://{folder}/socket", timeout_seconds=20)
            await state.spend([Spending("a", 1)])
            assert await state.spent(["a"]) == [1], "it is owed"
            await state.close()
    assert len(sent) == 1
