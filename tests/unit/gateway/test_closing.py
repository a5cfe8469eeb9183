"""A gateway ends although its state loses a cancellation, as a client of Redis does when it meets an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence

import pytest

from agentrun.gateway.gateway import Gateway
from agentrun.gateway.limits.concurrency import Places
from agentrun.gateway.state.memory import MemoryState
from tests.unit.gateway.crowd import plan

_PATIENCE = 30.0


class Deaf(MemoryState):
    """Shared state that answers instead of being cancelled."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def ejected(self) -> Mapping[str, float]:
        await self._ignore_cancellation()
        return {}

    async def renew(self, key: str, leases: Sequence[str], lease_seconds: float) -> None:
        await self._ignore_cancellation()

    async def _ignore_cancellation(self) -> None:
        self.asked.set()
        try:
            await asyncio.sleep(_PATIENCE)
        except asyncio.CancelledError:
            return


@pytest.mark.asyncio
async def test_a_gateway_ends_while_it_learns() -> None:
    state = Deaf()
    gateway = Gateway(state)
    await gateway.start()
    await asyncio.wait_for(state.asked.wait(), _PATIENCE)
    assert await _ends(gateway.close())


@pytest.mark.asyncio
async def test_places_end_while_leases_are_renewed() -> None:
    state = Deaf()
    places = Places(state, lease_seconds=0.3)
    await places.enter_proxy(plan(1))
    await asyncio.wait_for(state.asked.wait(), _PATIENCE)
    assert await _ends(places.close())


async def _ends(closing: Coroutine[object, object, None]) -> bool:
    task = asyncio.create_task(closing)  # Not wait_for, which waits for what does not end.
    done, _ = await asyncio.wait([task], timeout=5)
    return bool(done)
