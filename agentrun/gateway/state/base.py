"""The interface of shared state; in memory for one process, in Redis for several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

SLOTS = 240
"""A window is counted in this many parts; what was taken leaves it together with its part, so at most 0.42 % late."""


class Take(NamedTuple):
    """So much to be taken from a window: at most `limit` in any `seconds`, counted under `key`."""

    key: str
    limit: int
    seconds: float
    amount: int = 1


class Taken(NamedTuple):
    """What came of it, by window: what is left, and for how many seconds something is still counted.

    `full` is the window that has no room, the one to wait for longest when several have none; `wait` says how many
    seconds, infinity when it is more than the limit. `at` is when it was taken, by the clock of the state.
    """

    at: float
    left: tuple[int, ...]
    resets: tuple[float, ...]
    full: int | None = None
    wait: float = 0.0


class Spending(NamedTuple):
    """So much spent under a key, which is forgotten after its time, never when that is infinity.

    Amounts are whole numbers, so that sums are exact however many there are.
    """

    key: str
    amount: int
    ttl_seconds: float = math.inf


class State(Protocol):
    """What the gateways share; each method is atomic, over all processes that use the same state."""

    shared: bool
    """Whether other processes use it too; then who waits for a place has to ask again."""

    async def take(self, takes: Sequence[Take]) -> Taken:
        """Take from all of these windows, or from none when one is full."""
        ...

    async def correct(self, takes: Sequence[Take], at: float, amount: int) -> None:
        """Count so much more in these windows from now on, or give back of what was taken `at`, when negative."""
        ...

    async def enter(self, key: str, limit: int, lease_seconds: float) -> str | None:
        """Occupy one of `limit` places, until it is left or its lease is over; None when all are occupied."""
        ...

    async def renew(self, key: str, leases: Sequence[str], lease_seconds: float) -> None:
        """Occupy places for so many seconds from now, also where a lease was over."""
        ...

    async def leave(self, key: str, lease: str) -> None:
        """Leave a place."""
        ...

    async def spend(self, spendings: Sequence[Spending]) -> None:
        """Add to what was spent."""
        ...

    async def spent(self, keys: Sequence[str]) -> list[int]:
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
