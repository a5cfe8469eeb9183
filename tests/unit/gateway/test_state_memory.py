"""Windows in memory, looked at closely: how exact they are, and that nothing is kept for ever."""

from __future__ import annotations

import math
import random
import tracemalloc

import pytest

from agentrun.gateway.state.base import SLOTS, Spending, Take
from agentrun.gateway.state.expiring import Entry, Expiring
from agentrun.gateway.state.memory import MemoryState
from tests.unit.gateway.clocks import ManualClock

pytestmark = pytest.mark.asyncio


async def times_taken(clock: ManualClock, limit: int, seconds: float, arrivals: list[float]) -> list[float]:
    """When something was taken of a window, of those who asked after so many seconds each."""
    state, taken = MemoryState(clock), list[float]()
    for pause in arrivals:
        clock.advance(pause)
        if (await state.take([Take("a", limit, seconds)])).full is None:
            taken.append(clock())
    return taken


def most_in_any_window(times: list[float], seconds: float) -> int:
    return max(sum(start <= time < start + seconds for time in times) for start in times)


@pytest.mark.parametrize("seed", range(5))
async def test_no_window_has_more_whenever_calls_arrive(clock: ManualClock, seed: int) -> None:
    chance = random.Random(seed)
    arrivals = [chance.choice([0.0, 0.0, chance.expovariate(5), chance.uniform(0, 3)]) for _ in range(1500)]
    taken = await times_taken(clock, 25, 7.3, arrivals)
    assert most_in_any_window(taken, 7.3) == 25


async def test_a_thousand_a_minute_are_a_thousand_in_each_minute(clock: ManualClock) -> None:
    """With 3,000 asked a minute."""
    start = clock()
    taken = await times_taken(clock, 1000, 60, [0.02] * 30_000)
    minutes = [sum(start + 60 * i < time <= start + 60 * (i + 1) for time in taken) for i in range(10)]
    assert minutes[0] == 1000
    assert all(995 <= count <= 1000 for count in minutes), minutes
    assert most_in_any_window(taken[:4000], 60) == 1000


async def test_a_burst_is_let_through_at_once(clock: ManualClock) -> None:
    assert len(await times_taken(clock, 1000, 60, [0.0] * 1500)) == 1000


async def test_the_wait_is_as_long_as_needed_and_no_longer(clock: ManualClock) -> None:
    state, take = MemoryState(clock), Take("a", 10, 60)
    began = clock()
    while (refused := await state.take([take])).full is None:
        clock.advance(1.7)
    clock.advance(refused.wait)
    assert (await state.take([take])).full is None
    assert 60 < clock() - began <= 60 * (1 + 1 / SLOTS) + 1e-5


async def test_a_wait_that_was_waited_for_is_over(clock: ManualClock) -> None:
    """Whatever times and windows: division rounds."""
    chance = random.Random(1)
    for _ in range(2000):
        state, take = MemoryState(clock), Take("a", 1, chance.choice([0.1, 1, 60, 3600, 86400]) * chance.random())
        clock.advance(chance.random() * 1e6)
        await state.take([take])
        clock.advance((await state.take([take])).wait)
        assert (await state.take([take])).full is None


async def test_windows_that_nobody_asks_for_are_forgotten(clock: ManualClock) -> None:
    state = MemoryState(clock)
    for i in range(5000):
        await state.take([Take(f"short-{i}", 10, 1.0), Take(f"long-{i}", 10, 60.0)])
        await state.spend([Spending(f"spent-{i}", 1, 1.0)])
        await state.keep(f"value-{i}", b"x", 1.0, f"group-{i}", 100)
        clock.advance(0.01)
        assert state.size < 6000 + 3 * 200


async def test_what_left_the_window_is_not_counted(clock: ManualClock) -> None:
    state, take = MemoryState(clock), Take("a", 10**6, 60.0)
    for _ in range(20_000):
        await state.take([take])
        clock.advance(0.01)
    assert state.size == 1
    assert (await state.take([take])).left == (10**6 - 6000 - 25,), "all of the last minute and a slot"


async def test_entries_are_forgotten_when_their_time_is_over_and_not_before() -> None:
    kept: Expiring[Entry] = Expiring()
    kept.put("a", Entry(until=10))
    kept.put("b", Entry(until=math.inf))
    moved = Entry(until=10)
    kept.put("c", moved)
    moved.until = 20
    assert kept.tidy(9.9) == []
    assert [key for key, _ in kept.tidy(10)] == ["a"]
    assert [key for key, _ in kept.tidy(19.9)] == []
    assert [key for key, _ in kept.tidy(20)] == ["c"]
    assert kept.tidy(1e9) == []
    assert list(kept) == ["b"]


async def test_an_entry_that_took_the_place_of_another_has_its_own_time() -> None:
    kept: Expiring[Entry] = Expiring()
    for until in range(1, 1000):
        kept.put("a", Entry(until=100.0 + until))
        kept.tidy(float(until))
    assert kept.tidy(1000) == []
    assert kept.get("a", 1000) is not None
    for _ in range(100):
        kept.tidy(1098.0)
    assert kept.get("a", 1098) is not None
    assert [key for key, _ in kept.tidy(1099)] == ["a"]


async def test_an_entry_that_is_put_again_and_again_takes_no_more_memory() -> None:
    kept: Expiring[Entry] = Expiring()
    tracemalloc.start()
    for now in range(20_000):
        kept.put("a", Entry(until=now + 10.0))
        kept.tidy(float(now))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000
