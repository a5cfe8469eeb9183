"""How long things took, counted so that Prometheus and people can read it."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

_FASTEST, _GROWTH, _BUCKETS = 0.0001, 1.2, 90
# Upper bounds in seconds, from a tenth of a millisecond to about twenty minutes; each is a fifth more than the last.
BOUNDS = tuple(_FASTEST * _GROWTH**number for number in range(_BUCKETS))


class Histogram:
    """How long things took, in seconds; percentiles are right to a fifth."""

    def __init__(self) -> None:
        self.counts = [0] * (_BUCKETS + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def with_those_of(self, other: Histogram) -> Histogram:
        """A new one that counts both."""
        both = Histogram()
        both.counts = [one + another for one, another in zip(self.counts, other.counts, strict=True)]
        both.sum = self.sum + other.sum
        return both

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def percentile(self, fraction: float) -> float | None:
        """The time that this fraction did not exceed, None when there was none."""
        wanted = fraction * self.count
        for number, seen in enumerate(accumulate(self.counts)):
            if seen and seen >= wanted:
                return BOUNDS[min(number, _BUCKETS - 1)]
        return None

    def to_json(self) -> dict[str, float | None]:
        """The usual percentiles."""
        return {f"p{round(fraction * 100)}": self.percentile(fraction) for fraction in (0.5, 0.95, 0.99)}
