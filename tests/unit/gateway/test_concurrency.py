"""Concurrency limits: who is inside, who waits, and that nobody is forgotten there."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import anyio
import pytest

from agentrun._serving.openai_error import ApiError
from agentrun.gateway.limits.concurrency import Load, Place, Places
from agentrun.gateway.plan import Plan, target
from agentrun.gateway.state.memory import MemoryState
from agentrun.gateway.state.redis import RedisState
from agentrun.model.policies import GatewayPolicies, ProxyConfigPolicies, QueuePolicy
from tests.unit.gateway.clocks import ManualClock
from tests.unit.gateway.counting import CountingState
from tests.unit.gateway.redis_server import RedisServer

pytestmark = pytest.mark.asyncio

NARROW = target("backend", "t", "http://127.0.0.1:1", None, concurrency_limit=1)
WIDE = replace(NARROW, key="wide", concurrency_limit=None)


def plan_of(limit: int | None = 1, size: int = 100, timeout: float = 20.0) -> Plan:
    gateway = GatewayPolicies(queue=QueuePolicy(size=size, timeout_seconds=timeout))
    return Plan("shop", "p", (), policies=ProxyConfigPolicies(concurrency_limit=limit, gateway=gateway))


async def settled() -> None:
    """Whatever can go on without an event from outside has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def refusal(places: Places, plan: Plan) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await places.enter_proxy(plan)
    return caught.value


async def test_without_a_limit_the_state_is_not_asked() -> None:
    state = CountingState()
    places, plan = Places(state), plan_of(limit=None)
    inside = [await places.enter_proxy(plan) for _ in range(3)]
    inside.append(await places.enter_target(plan, WIDE))
    assert places.proxy_load(plan) == Load(3, 0)
    assert places.target_load(WIDE) == Load(1, 0)
    for place in inside:
        await places.leave(place)
    assert places.proxy_load(plan) == Load()
    assert state.asked == 0


async def test_a_free_place_is_entered_without_a_task() -> None:
    places, plan = Places(MemoryState()), plan_of(limit=2)
    before, inside = asyncio.all_tasks(), list[Place]()
    with anyio.CancelScope() as scope:
        scope.cancel()  # Whatever suspends here, raises.
        await places.leave(await places.enter_proxy(plan))
        inside.append(await places.enter_proxy(plan))
    assert inside[0].lease
    assert asyncio.all_tasks() == before


async def test_who_waits_is_let_in_in_the_order_of_coming() -> None:
    places, plan, order = Places(MemoryState()), plan_of(limit=2), list[int]()

    async def call(number: int) -> None:
        place = await places.enter_proxy(plan)
        order.append(number)
        await settled()
        await places.leave(place)

    tasks: list[asyncio.Task[None]] = []
    for number in range(20):
        tasks.append(asyncio.create_task(call(number)))
        await asyncio.sleep(0)
    assert places.proxy_load(plan).in_flight == 2
    await asyncio.gather(*tasks)
    assert order == list(range(20))
    assert places.proxy_load(plan) == Load()


async def test_who_comes_when_a_place_is_free_waits_behind_those_who_wait() -> None:
    places, plan, order = Places(MemoryState()), plan_of(), list[str]()
    inside = await places.enter_proxy(plan)

    async def call(name: str) -> None:
        place = await places.enter_proxy(plan)
        order.append(name)
        await places.leave(place)

    first = asyncio.create_task(call("first"))
    await settled()
    await places.leave(inside)
    await call("second")
    await first
    assert order == ["first", "second"]


async def test_a_full_queue_is_an_error_at_once() -> None:
    places, plan = Places(MemoryState()), plan_of(size=1)
    inside = await places.enter_proxy(plan)
    waiting = asyncio.create_task(places.enter_proxy(plan))
    await settled()
    assert places.proxy_load(plan) == Load(1, 1)
    error = await refusal(places, plan)
    assert (error.status, error.code, error.type) == (429, "concurrency_limit_exceeded", "requests")
    assert error.message == (
        "Concurrency limit reached for proxy 'shop': 1 calls are under way at once, and 1 more wait, which is the most"
        " that may."
    )
    assert error.headers == {"retry-after": "1", "retry-after-ms": "1000"}
    await places.leave(inside)
    await places.leave(await waiting)


async def test_a_queue_of_none_lets_nobody_wait() -> None:
    places, plan = Places(MemoryState()), plan_of(size=0)
    inside = await places.enter_proxy(plan)
    await refusal(places, plan)
    await places.leave(inside)
    await places.leave(await places.enter_proxy(plan))


async def test_nobody_waits_longer_than_allowed() -> None:
    places, plan = Places(MemoryState()), plan_of(timeout=0.02)
    inside = await places.enter_proxy(plan)
    error = await refusal(places, plan)
    assert "none of them ended within 0.02 s" in error.message
    assert places.proxy_load(plan) == Load(1, 0)
    await places.leave(inside)
    await places.leave(await places.enter_proxy(plan))


async def test_who_goes_away_leaves_the_queue_and_the_next_one_moves_up() -> None:
    places, plan = Places(MemoryState()), plan_of()
    inside = await places.enter_proxy(plan)
    first, second = (asyncio.create_task(places.enter_proxy(plan)) for _ in range(2))
    await settled()
    first.cancel()
    await settled()
    assert places.proxy_load(plan) == Load(1, 1)
    await places.leave(inside)
    await places.leave(await second)
    assert places.proxy_load(plan) == Load()


async def test_who_goes_away_in_the_moment_of_its_turn_passes_it_on() -> None:
    """Whenever that is, between being woken and having entered."""
    for steps in range(8):
        places, plan = Places(MemoryState()), plan_of()
        inside = await places.enter_proxy(plan)
        first, second = (asyncio.create_task(places.enter_proxy(plan)) for _ in range(2))
        await settled()
        await places.leave(inside)
        for _ in range(steps):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        if not first.cancelled():
            await places.leave(first.result())
        await places.leave(await asyncio.wait_for(second, 5))
        assert places.proxy_load(plan) == Load()


async def test_many_who_come_and_go_leave_nothing_behind() -> None:
    places, plan, most = Places(MemoryState()), plan_of(limit=3, size=1000, timeout=0.01), 0

    async def call(number: int) -> None:
        nonlocal most
        place = await places.enter_proxy(plan)
        most = max(most, places.proxy_load(plan).in_flight)
        await asyncio.sleep(0.001 * (number % 3))
        await places.leave(place)

    tasks = [asyncio.create_task(call(number)) for number in range(300)]
    await asyncio.sleep(0.002)
    for task in tasks[::7]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {type(None), ApiError, asyncio.CancelledError}
    assert most == 3
    assert places.proxy_load(plan) == Load()
    inside = [await places.enter_proxy(plan) for _ in range(3)]
    assert len({place.lease for place in inside}) == 3


async def test_a_target_says_whether_it_has_room() -> None:
    places, plan = Places(MemoryState()), plan_of(limit=None)
    assert places.has_room(NARROW)
    place = await places.try_target(NARROW)
    assert place
    assert not places.has_room(NARROW)
    assert await places.try_target(NARROW) is None
    waiting = asyncio.create_task(places.enter_target(plan, NARROW))
    await settled()
    await places.leave(place)
    assert not places.has_room(NARROW), "somebody waits for it"
    await places.leave(await waiting)
    assert places.has_room(NARROW)
    assert places.has_room(WIDE)
    assert await places.try_target(WIDE) == Place("target:wide")


async def test_a_target_is_one_for_all_proxies_and_told_by_its_name() -> None:
    places, plan = Places(MemoryState()), plan_of(size=0)
    place = await places.enter_target(plan, NARROW)
    with pytest.raises(ApiError, match="for endpoint 'backend'"):
        await places.enter_target(Plan("other", "o", (), policies=plan.policies), NARROW)
    await places.leave(await places.enter_proxy(plan))
    await places.leave(place)


async def test_a_state_that_fails_leaves_no_trace() -> None:
    class Broken(MemoryState):
        async def enter(self, key: str, limit: int, lease_seconds: float) -> str | None:
            raise OSError("broken")

    places, plan = Places(Broken()), plan_of()
    with pytest.raises(OSError, match="broken"):
        await places.enter_proxy(plan)
    with pytest.raises(OSError, match="broken"):
        await places.try_target(NARROW)
    assert (places.proxy_load(plan), places.target_load(NARROW)) == (Load(), Load())


def state_in(server: RedisServer, name: str) -> RedisState:
    return RedisState(server.url, prefix=f"{name}:", timeout_seconds=20)


async def close(*opened: Places | RedisState) -> None:
    for one in opened:
        await one.close()


async def test_places_are_shared_by_who_shares_a_state(redis_server: RedisServer) -> None:
    states = [state_in(redis_server, "shared") for _ in range(2)]
    here, there = (Places(state) for state in states)
    plan = plan_of()
    place = await here.enter_proxy(plan)
    waiting = asyncio.create_task(there.enter_proxy(plan))
    await asyncio.sleep(0.1)
    assert there.proxy_load(plan) == Load(0, 1)
    await here.leave(place)
    await there.leave(await asyncio.wait_for(waiting, 10))
    await close(here, there, *states)


async def test_a_target_full_elsewhere_is_not_asked_again_at_once(
    redis_server: RedisServer, clock: ManualClock
) -> None:
    states = [state_in(redis_server, "full") for _ in range(2)]
    here, there = Places(states[0]), Places(states[1], clock)
    plan, both = plan_of(), replace(NARROW, concurrency_limit=2)
    own = await there.enter_target(plan, both)
    other = await here.enter_target(plan, both)
    assert there.has_room(both), "it does not know better"
    assert await there.try_target(both) is None
    assert not there.has_room(both)
    clock.advance(0.1)
    assert there.has_room(both)
    await here.leave(other)
    await there.leave(own)
    await close(here, there, *states)


async def test_a_long_call_keeps_its_place(redis_server: RedisServer) -> None:
    state, other = state_in(redis_server, "long"), state_in(redis_server, "long")
    places, plan = Places(state, lease_seconds=0.9), plan_of()
    for _ in range(2):  # What renews leases rests when there are none, and begins again.
        place = await places.enter_proxy(plan)
        await asyncio.sleep(1.6)
        assert await other.enter("proxy:p", 1, 30) is None
        await places.leave(place)
        await asyncio.sleep(0.5)
    await close(places, state, other)


async def test_time_in_a_shared_queue_is_bounded_too(redis_server: RedisServer) -> None:
    state = state_in(redis_server, "bounded")
    places, plan = Places(state), plan_of(timeout=0.1)
    inside = await places.enter_proxy(plan)
    began = time.monotonic()
    await refusal(places, plan)
    assert time.monotonic() - began < 5
    assert places.proxy_load(plan) == Load(1, 0)
    await places.leave(inside)
    await close(places, state)


async def test_a_caller_that_goes_away_when_it_leaves_has_left(redis_server: RedisServer) -> None:
    state = state_in(redis_server, "gone")
    places, plan = Places(state), plan_of()
    place = await places.enter_proxy(plan)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await places.leave(place)
    assert places.proxy_load(plan) == Load()
    await asyncio.wait_for(places.enter_proxy(plan), 10)
    await close(places, state)
