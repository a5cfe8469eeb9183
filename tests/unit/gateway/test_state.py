"""What every kind of shared state does: the same tests for each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

import pytest
import pytest_asyncio

from agentrun.gateway.state import open_state
from agentrun.gateway.state.base import Spending, State, Take
from agentrun.gateway.state.memory import MemoryState
from agentrun.gateway.state.redis import RedisState
from tests.unit.gateway.clocks import ManualClock
from tests.unit.gateway.redis_server import RedisServer

pytestmark = pytest.mark.asyncio


@dataclass
class Bench:
    """A state, and a way to let time pass for it."""

    state: State
    let_pass: Callable[[float], Awaitable[None]]


async def _memory() -> AsyncIterator[Bench]:
    clock = ManualClock()

    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    yield Bench(MemoryState(clock), let_pass)


async def _redis(server: RedisServer) -> AsyncIterator[Bench]:
    # Time enough for a busy machine: these tests are not about a server that does not answer.
    state = RedisState(server.url, prefix=f"{uuid4()}:", timeout_seconds=20)
    yield Bench(state, asyncio.sleep)
    await state.close()


@pytest_asyncio.fixture(params=["memory", "redis"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    opened = _memory() if request.param == "memory" else _redis(request.getfixturevalue("redis_server"))
    async for bench in opened:
        yield bench


@pytest.fixture
def state(bench: Bench) -> State:
    return bench.state


async def test_a_window_lets_through_its_limit_and_says_what_is_left(state: State) -> None:
    take = Take("a", limit=3, seconds=60)
    answers = [await state.take([take]) for _ in range(4)]
    assert [taken.left for taken in answers] == [(2,), (1,), (0,), (0,)]
    assert [taken.full for taken in answers] == [None, None, None, 0]
    assert [taken.wait for taken in answers[:3]] == [0, 0, 0]
    assert 50 < answers[3].wait <= 60.3
    assert 50 < answers[3].resets[0] <= 60.3


async def test_after_the_wait_there_is_room_and_before_there_is_none(bench: Bench) -> None:
    take = Take("a", limit=2, seconds=1.0)
    await bench.state.take([take, Take("b", limit=9, seconds=60)])
    await bench.let_pass(0.3)
    await bench.state.take([take])
    refused = await bench.state.take([take])
    assert refused.full == 0
    await bench.let_pass(refused.wait - 0.2)
    assert (await bench.state.take([take])).full == 0
    await bench.let_pass(0.2)
    assert (await bench.state.take([take])).full is None
    assert (await bench.state.take([take])).full == 0, "the second one is still in the window"


async def test_a_large_amount_waits_until_enough_has_left(bench: Bench) -> None:
    await bench.state.take([Take("a", 10, 2.0, 4)])
    await bench.let_pass(0.5)
    await bench.state.take([Take("a", 10, 2.0, 4)])
    little = await bench.state.take([Take("a", 10, 2.0, 6)])
    much = await bench.state.take([Take("a", 10, 2.0, 7)])
    never = await bench.state.take([Take("a", 10, 2.0, 11)])
    assert 0.4 < much.wait - little.wait < 1.5
    assert never.wait == float("inf")


async def test_a_full_window_keeps_the_others_from_counting(state: State) -> None:
    small, large = Take("small", 1, 60), Take("large", 100, 3600, 7)
    assert (await state.take([large, small])).left == (93, 0)
    refused = await state.take([large, small])
    assert (refused.full, refused.left) == (1, (93, 0))
    assert (await state.take([large])).left == (86,)


async def test_of_several_full_windows_the_longest_wait_counts(state: State) -> None:
    short, long = Take("short", 1, 10), Take("long", 1, 1000)
    await state.take([short, long])
    refused = await state.take([short, long])
    assert refused.full == 1
    assert refused.wait > 900


async def test_no_window_of_any_length_has_more_than_the_limit(bench: Bench) -> None:
    """Whenever one looks back for the length of the window, and with a use of nearly all that is allowed."""
    limit, seconds = 40, 0.5
    taken: deque[float] = deque()
    for _ in range(400):
        answer = await bench.state.take([Take("a", limit, seconds)])
        if answer.full is None:
            taken.append(answer.at)
        await bench.let_pass(0.005)
    for first, beyond in zip(taken, list(taken)[limit:], strict=False):
        assert beyond - first > seconds
    duration = taken[-1] - taken[0]
    assert len(taken) >= limit * int(duration / (seconds * 1.05))


async def test_what_was_not_used_is_given_back(state: State) -> None:
    take = Take("a", 100, 60, 80)
    taken = await state.take([take])
    assert (await state.take([take])).full == 0
    await state.correct([take], taken.at, -70)
    assert (await state.take([take])).left == (10,)


async def test_no_more_is_given_back_than_was_taken_then(bench: Bench) -> None:
    take = Take("a", 100, 1.0, 10)
    first = await bench.state.take([take])
    await bench.let_pass(0.2)
    await bench.state.take([take])
    await bench.state.correct([take], first.at, -50)
    assert (await bench.state.take([Take("a", 100, 1.0, 0)])).left == (90,)
    await bench.let_pass(1.1)
    await bench.state.correct([take], first.at, -50)
    assert (await bench.state.take([Take("a", 100, 1.0, 1)])).left == (99,)


async def test_what_was_used_beyond_is_counted_even_over_the_limit(state: State) -> None:
    takes = [Take("a", 100, 60, 50), Take("b", 1000, 3600, 50)]
    taken = await state.take(takes)
    await state.correct(takes, taken.at, 70)
    refused = await state.take([Take("a", 100, 60, 1), Take("b", 1000, 3600, 1)])
    assert (refused.full, refused.left) == (0, (0, 880))


async def test_places_are_as_many_as_the_limit(state: State) -> None:
    leases = [await state.enter("a", 2, 60) for _ in range(3)]
    assert leases[2] is None
    assert None not in leases[:2]
    assert leases[0] != leases[1]
    assert await state.enter("b", 1, 60)
    await state.leave("a", str(leases[0]))
    assert await state.enter("a", 2, 60)
    assert await state.enter("a", 2, 60) is None


async def test_a_place_is_left_once(state: State) -> None:
    first, second = await state.enter("a", 2, 60), await state.enter("a", 2, 60)
    await state.leave("a", str(first))
    await state.leave("a", str(first))
    await state.leave("a", "unknown")
    assert await state.enter("a", 2, 60)
    assert await state.enter("a", 2, 60) is None
    await state.leave("a", str(second))


async def test_a_lease_ends_unless_it_is_renewed(bench: Bench) -> None:
    renewed = await bench.state.enter("a", 2, 0.6)
    await bench.state.enter("a", 2, 0.6)
    await bench.let_pass(0.4)
    await bench.state.renew("a", [str(renewed)], 60)
    await bench.let_pass(0.4)
    assert await bench.state.enter("a", 2, 60), "the place that was not renewed"
    assert await bench.state.enter("a", 2, 60) is None


async def test_a_lease_that_was_over_holds_again_once_renewed(bench: Bench) -> None:
    lease = await bench.state.enter("a", 1, 0.1)
    await bench.let_pass(0.2)
    await bench.state.renew("a", [str(lease)], 60)
    assert await bench.state.enter("a", 1, 60) is None


async def test_sums_are_exact_and_each_has_its_time(bench: Bench) -> None:
    for _ in range(10):
        await bench.state.spend([Spending("long", 2**50 + 1, 60), Spending("short", 1, 0.5), Spending("ever", 3)])
    assert await bench.state.spent(["long", "ever", "unknown"]) == [10 * (2**50 + 1), 30, 0]
    await bench.let_pass(0.7)
    assert await bench.state.spent(["short", "long", "ever"]) == [0, 10 * (2**50 + 1), 30]
    await bench.state.spend([Spending("short", 5, 60)])
    assert await bench.state.spent(["short"]) == [5]


async def test_values_are_found_until_their_time_is_over(bench: Bench) -> None:
    await bench.state.keep("a", b"\x00\xff", 0.5, "group", 100)
    assert await bench.state.find("a") == b"\x00\xff"
    assert await bench.state.find("b") is None
    await bench.let_pass(0.7)
    assert await bench.state.find("a") is None


async def test_the_oldest_values_of_a_group_make_room(state: State) -> None:
    for key in ("a", "b", "c"):
        await state.keep(key, b"x" * 40, 60, "group", 100)
        await state.keep(f"other-{key}", b"x" * 30, 60, "other", 100)
    assert [await state.find(key) is not None for key in ("a", "b", "c")] == [False, True, True]
    assert [await state.find(f"other-{key}") is not None for key in ("a", "b", "c")] == [True, True, True]


async def test_a_value_kept_anew_counts_once_and_is_young(state: State) -> None:
    for key in ("a", "b", "a", "c"):
        await state.keep(key, key.encode() * 30, 60, "group", 60)
    assert [await state.find(key) is not None for key in ("a", "b", "c")] == [True, False, True]


async def test_values_whose_time_is_over_take_no_room(bench: Bench) -> None:
    await bench.state.keep("a", b"x" * 60, 0.2, "group", 100)
    await bench.let_pass(0.4)
    await bench.state.keep("b", b"x" * 60, 60, "group", 100)
    await bench.state.keep("c", b"x" * 40, 60, "group", 100)
    assert [await bench.state.find(key) is not None for key in ("a", "b", "c")] == [False, True, True]


async def test_a_value_larger_than_its_group_is_not_kept(state: State) -> None:
    await state.keep("a", b"x" * 10, 60, "group", 100)
    await state.keep("b", b"x" * 10, 60, "group", 100)
    await state.keep("b", b"x" * 101, 60, "group", 100)
    assert await state.find("a") == b"x" * 10
    assert await state.find("b") is None, "the older value is no longer right"


async def test_targets_are_left_out_for_a_while(bench: Bench) -> None:
    assert await bench.state.ejected() == {}
    await bench.state.eject("a", 60)
    await bench.state.eject("b", 0.6)
    await bench.state.eject("c", 60)
    await bench.state.eject("c", 0)
    left_out = await bench.state.ejected()
    assert set(left_out) == {"a", "b"}
    assert 50 < left_out["a"] <= 60
    await bench.let_pass(0.8)
    assert set(await bench.state.ejected()) == {"a"}


async def test_nothing_asked_is_nothing_done(state: State) -> None:
    taken = await state.take([])
    assert (taken.left, taken.full) == ((), None)
    await state.spend([])
    assert await state.spent([]) == []


async def test_the_environment_says_which_state(redis_server: RedisServer) -> None:
    assert isinstance(open_state({}), MemoryState)
    state = open_state({"AGENTRUN_REDIS_URL": redis_server.url})
    assert isinstance(state, RedisState)
    await state.close()
