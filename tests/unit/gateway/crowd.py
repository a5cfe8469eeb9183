"""A process beside the test that uses a shared state; says `ready`, and begins when it is told to.

usage: python crowd.py take URL LIMIT ASKS        prints how many were let through
       python crowd.py enter URL LIMIT CALLS      prints when each call began and ended, by the clock of the machine
       python crowd.py hold URL LEASE_SECONDS     occupies a place, prints so, and waits to be killed
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from agentrun.gateway.limits.concurrency import Places
from agentrun.gateway.plan import Plan
from agentrun.gateway.state.base import Take
from agentrun.gateway.state.redis import RedisState
from agentrun.model.policies import GatewayPolicies, ProxyConfigPolicies, QueuePolicy


def plan(limit: int) -> Plan:
    queue = GatewayPolicies(queue=QueuePolicy(size=1000, timeout_seconds=60))
    return Plan("crowd", "crowd", (), policies=ProxyConfigPolicies(concurrency_limit=limit, gateway=queue))


def wait_for_the_others() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


async def take(state: RedisState, limit: int, asks: int) -> None:
    async def some() -> int:
        answers = [await state.take([Take("crowd", limit, 600.0)]) for _ in range(asks // 10)]
        return sum(answer.full is None for answer in answers)

    await state.take([])
    wait_for_the_others()
    print(sum(await asyncio.gather(*(some() for _ in range(10)))), flush=True)


async def enter(state: RedisState, limit: int, calls: int) -> None:
    places = Places(state)

    async def call() -> tuple[float, float]:
        place = await places.enter_proxy(plan(limit))
        began = time.monotonic()
        await asyncio.sleep(0.01)
        ended = time.monotonic()
        await places.leave(place)
        return began, ended

    await state.take([])
    wait_for_the_others()
    print(json.dumps(await asyncio.gather(*(call() for _ in range(calls)))), flush=True)
    await places.close()


async def hold(state: RedisState, lease_seconds: float) -> None:
    await Places(state, lease_seconds=lease_seconds).enter_proxy(plan(1))
    print("inside", flush=True)
    await asyncio.sleep(600)


async def main(what: str, url: str, *numbers: str) -> None:
    state = RedisState(url, prefix=Path(url).parent.name + ":", timeout_seconds=20)
    if what == "hold":
        await hold(state, float(numbers[0]))
    else:
        await {"take": take, "enter": enter}[what](state, int(numbers[0]), int(numbers[1]))
    await state.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
