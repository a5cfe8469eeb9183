"""A state that counts how often it was asked."""

from __future__ import annotations

from collections.abc import Sequence

from agentrun.gateway.state.base import Spending, Take, Taken
from agentrun.gateway.state.memory import MemoryState


class CountingState(MemoryState):
    asked = 0

    async def take(self, takes: Sequence[Take]) -> Taken:
        self.asked += 1
        return await super().take(takes)

    async def correct(self, takes: Sequence[Take], at: float, amount: int) -> None:
        self.asked += 1
        await super().correct(takes, at, amount)

    async def enter(self, key: str, limit: int, lease_seconds: float) -> str | None:
        self.asked += 1
        return await super().enter(key, limit, lease_seconds)

    async def leave(self, key: str, lease: str) -> None:
        self.asked += 1
        await super().leave(key, lease)

    async def spend(self, spendings: Sequence[Spending]) -> None:
        self.asked += 1
        await super().spend(spendings)

    async def spent(self, keys: Sequence[str]) -> list[int]:
        self.asked += 1
        return await super().spent(keys)
