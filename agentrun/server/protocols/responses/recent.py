"""What was used last, within limits."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class Limits:
    """How many things are kept, how many bytes they come to, and for how many seconds after their last use."""

    most: int
    most_bytes: int
    seconds: float


class Recent(Generic[K, V]):
    """Values of different sizes; those that were not used for the longest time go first."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._kept: OrderedDict[K, tuple[V, int, float]] = OrderedDict()
        self._bytes = 0

    def put(self, key: K, value: V, size: int) -> list[V]:
        """Keep a value, and say which ones had to go for it; the new one is not among them."""
        self.pop(key)
        self._kept[key] = (value, size, self._clock())
        self._bytes += size
        return self._over()

    def get(self, key: K) -> V | None:
        """A value, which is used by that."""
        if key not in self._kept:
            return None
        value, size, since = self._kept[key]
        if self._clock() - since > self._limits.seconds:
            self.pop(key)
            return None
        self._kept[key] = (value, size, self._clock())
        self._kept.move_to_end(key)
        return value

    def size(self, key: K) -> int:
        """The size of a value, 0 when there is none."""
        return self._kept[key][1] if key in self._kept else 0

    def pop(self, key: K) -> V | None:
        """Take a value away."""
        if key not in self._kept:
            return None
        value, size, _ = self._kept.pop(key)
        self._bytes -= size
        return value

    def _over(self) -> list[V]:
        gone: list[V] = []
        while len(self._kept) > 1 and self._is_over(next(iter(self._kept))):
            key, (value, _, _) = next(iter(self._kept.items()))
            self.pop(key)
            gone.append(value)
        return gone

    def _is_over(self, oldest: K) -> bool:
        too_many = len(self._kept) > self._limits.most or self._bytes > self._limits.most_bytes
        return too_many or self._clock() - self._kept[oldest][2] > self._limits.seconds
