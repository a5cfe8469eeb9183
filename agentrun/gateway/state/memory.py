"""State of one process, in its memory."""

from __future__ import annotations

import math
import secrets
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from agentrun.gateway.state.base import SLOTS, Spending, Take, Taken
from agentrun.gateway.state.expiring import Entry, Expiring

# A time that was computed must not be a hair short when it has passed.
_ROUNDING = 1e-6


@dataclass
class _Window(Entry):
    """What was taken in each slot of a window; slots have a number, from the beginning of the clock."""

    slot_seconds: float = 1.0
    counts: dict[int, int] = field(default_factory=dict[int, int])
    total: int = 0

    def move_to(self, now: float) -> int:
        """Forget the slots that are wholly out of the window, and say which one it is now."""
        slot = int(now / self.slot_seconds)
        counts = self.counts
        while counts and (oldest := next(iter(counts))) < slot - SLOTS:
            self.total -= counts.pop(oldest)
        return slot

    def add(self, slot: int, amount: int) -> None:
        self.counts[slot] = self.counts.get(slot, 0) + amount
        self.total += amount
        self.until = self._end(slot)

    def give_back(self, slot: int, amount: int) -> None:
        """Count less in a slot; nothing when it is out of the window already."""
        amount = min(amount, self.counts.get(slot, 0))
        if amount:
            self.counts[slot] -= amount
            self.total -= amount

    def wait(self, take: Take, now: float) -> float:
        """For how many seconds there is no room for so much; 0 when there is."""
        missing = self.total + take.amount - take.limit
        if missing <= 0:
            return 0.0
        for slot, counted in self.counts.items():
            missing -= counted
            if missing <= 0:
                return self._end(slot) - now + _ROUNDING
        return math.inf

    def reset(self, now: float) -> float:
        return max(0.0, self.until - now) if self.total else 0.0

    def _end(self, slot: int) -> float:
        return (slot + SLOTS + 1) * self.slot_seconds


@dataclass
class _Spent(Entry):
    amount: int = 0


@dataclass
class _Value(Entry):
    content: bytes = b""
    group: str = ""


@dataclass
class _Group:
    """The sizes of the values of a group, oldest first."""

    sizes: OrderedDict[str, int] = field(default_factory=OrderedDict[str, int])
    total: int = 0

    def add(self, key: str, size: int) -> None:
        self.sizes[key] = size
        self.total += size

    def drop(self, key: str) -> None:
        self.total -= self.sizes.pop(key, 0)


class MemoryState:
    """State that ends with the process; nothing in it waits. `clock` gives seconds that only go forward."""

    shared = False

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: Expiring[_Window] = Expiring()
        self._spent: Expiring[_Spent] = Expiring()
        self._values: Expiring[_Value] = Expiring()
        self._groups: dict[str, _Group] = {}
        self._places: defaultdict[str, dict[str, float]] = defaultdict(dict[str, float])
        self._leases = count(1)
        self._name = secrets.token_hex(4)  # Leases may be told to others, who have some of their own.
        self._ejected: dict[str, float] = {}

    @property
    def size(self) -> int:
        """How many windows, sums and values are kept."""
        return len(self._windows) + len(self._spent) + len(self._values) + len(self._groups)

    async def take(self, takes: Sequence[Take]) -> Taken:
        """Take from all of these windows, or from none when one is full."""
        now = self._clock()
        self._windows.tidy(now)
        windows = [self._window(take) for take in takes]
        slots = [window.move_to(now) for window in windows]
        waits = [window.wait(take, now) for window, take in zip(windows, takes, strict=True)]
        wait = max(waits, default=0.0)
        if not wait:
            for window, slot, take in zip(windows, slots, takes, strict=True):
                window.add(slot, take.amount)
        left = tuple([max(0, take.limit - window.total) for window, take in zip(windows, takes, strict=True)])
        resets = tuple([window.reset(now) for window in windows])
        return Taken(now, left, resets, waits.index(wait) if wait else None, wait)

    def _window(self, take: Take) -> _Window:
        # Also one whose time is over, as long as it is there: that saves making it anew.
        window = self._windows.get(take.key, -math.inf)
        if window is None:
            window = _Window(self._clock() + take.seconds, slot_seconds=take.seconds / SLOTS)
            self._windows.put(take.key, window)
        return window

    async def correct(self, takes: Sequence[Take], at: float, amount: int) -> None:
        """Count so much more in these windows from now on, or give back of what was taken `at`, when negative."""
        now = self._clock()
        for take in takes:
            window = self._window(take)
            slot = window.move_to(now)
            if amount > 0:
                window.add(slot, amount)
            else:
                window.give_back(int(at / window.slot_seconds), -amount)

    async def enter(self, key: str, limit: int, lease_seconds: float) -> str | None:
        """Occupy one of `limit` places, until it is left or its lease is over; None when all are occupied."""
        now = self._clock()
        places = self._places[key]
        if len(places) >= limit:
            for lease in [lease for lease, until in places.items() if until <= now]:
                del places[lease]
            if len(places) >= limit:
                return None
        lease = f"{self._name}-{next(self._leases)}"
        places[lease] = now + lease_seconds
        return lease

    async def renew(self, key: str, leases: Sequence[str], lease_seconds: float) -> None:
        """Occupy places for so many seconds from now, also where a lease was over."""
        until = self._clock() + lease_seconds
        self._places[key].update((lease, until) for lease in leases)

    async def leave(self, key: str, lease: str) -> None:
        """Leave a place."""
        places = self._places[key]
        places.pop(lease, None)
        if not places:
            del self._places[key]

    async def spend(self, spendings: Sequence[Spending]) -> None:
        """Add to what was spent."""
        now = self._clock()
        self._spent.tidy(now)
        for spending in spendings:
            until = now + spending.ttl_seconds
            known = self._spent.get(spending.key, now)
            if known is None:
                self._spent.put(spending.key, _Spent(until, amount=spending.amount))
            else:
                known.amount += spending.amount
                known.until = until

    async def spent(self, keys: Sequence[str]) -> list[int]:
        """What was spent under these keys."""
        now = self._clock()
        return [known.amount if (known := self._spent.get(key, now)) else 0 for key in keys]

    async def find(self, key: str) -> bytes | None:
        """A cached value."""
        value = self._values.get(key, self._clock())
        return value.content if value else None

    async def keep(self, key: str, value: bytes, ttl_seconds: float, group: str, group_bytes: int) -> None:
        """Cache a value; the oldest of its group go when the group is larger than `group_bytes`."""
        now = self._clock()
        for old, entry in self._values.tidy(now):
            self._drop(old, entry)
        self._forget(key)
        if len(value) > group_bytes:
            return
        self._values.put(key, _Value(now + ttl_seconds, content=value, group=group))
        kept = self._groups.setdefault(group, _Group())
        kept.add(key, len(value))
        while kept.total > group_bytes:
            self._forget(next(iter(kept.sizes)))

    def _forget(self, key: str) -> None:
        if entry := self._values.pop(key):
            self._drop(key, entry)

    def _drop(self, key: str, entry: _Value) -> None:
        group = self._groups[entry.group]
        group.drop(key)
        if not group.sizes:
            del self._groups[entry.group]

    async def eject(self, target: str, seconds: float) -> None:
        """Say that a target is left out for some seconds; 0 takes that back."""
        self._ejected.pop(target, None)
        if seconds > 0:
            self._ejected[target] = self._clock() + seconds

    async def ejected(self) -> Mapping[str, float]:
        """The targets that are left out, and for how many seconds still."""
        if not self._ejected:
            return {}
        now = self._clock()
        self._ejected = {target: until for target, until in self._ejected.items() if until > now}
        return {target: until - now for target, until in self._ejected.items()}

    async def close(self) -> None:
        """Nothing to give up."""
