"""The interface of shared state; in memory for one process, in Redis for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Take:
    """So much to be taken from a window: at most `limit` in any `seconds`, counted under `key`."""

    key: str
    limit: int
    seconds: float
    amount: int = 1


@dataclass(frozen=True)
class Taken:
    """What came of it: what is left of each window, or which one is full and for how many seconds still."""

    left: tuple[int, ...]
    full: int | None = None
    wait: float = 0.0


class State(Protocol):
    """What the gateways share; each method is atomic, over all processes that use the same state."""

    shared: bool
    """Whether other processes use it too; then who waits for a slot has to ask again."""

    async def take(self, takes: Sequence[Take]) -> Taken:
        """Take from all of these windows, or from none when one is full."""
        ...

    async def correct(self, key: str, seconds: float, amount: int) -> None:
        """Add to what a window has counted, or give back when `amount` is negative."""
        ...

    async def enter(self, key: str, limit: int, lease_seconds: float) -> str | None:
        """Occupy one of `limit` places, until it is left or its lease is over; None when all are occupied."""
        ...

    async def leave(self, key: str, lease: str) -> None:
        """Leave a place."""
        ...

    async def spend(self, amounts: Mapping[str, float], ttl_seconds: float) -> None:
        """Add to what was spent under these keys; a key that is not used for its time is forgotten."""
        ...

    async def spent(self, keys: Sequence[str]) -> list[float]:
        """What was spent under these keys."""
        ...

    async def find(self, key: str) -> bytes | None:
        """A cached value."""
        ...

    async def keep(self, key: str, value: bytes, ttl_seconds: float, group: str, group_bytes: int) -> None:
        """Cache a value; the oldest of its group go when the group is larger than `group_bytes`."""
        ...

    async def eject(self, target: str, seconds: float) -> None:
        """Say that a target is left out for some seconds; 0 takes that back."""
        ...

    async def ejected(self) -> Mapping[str, float]:
        """The targets that are left out, and for how many seconds still."""
        ...

    async def close(self) -> None:
        """Give up connections."""
        ...
