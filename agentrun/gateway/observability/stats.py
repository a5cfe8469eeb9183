"""What a gateway has done: calls, errors, tokens, money and times, by proxy and by endpoint."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from agentrun.gateway.streaming.usage import Usage

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


@dataclass
class Tokens:
    """Tokens of many calls."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def add(self, usage: Usage) -> None:
        """Add those of one call."""
        self.prompt += usage.prompt
        self.completion += usage.completion
        self.cached += usage.cached

    def with_those_of(self, other: Tokens) -> Tokens:
        """A new one that counts both."""
        return Tokens(self.prompt + other.prompt, self.completion + other.completion, self.cached + other.cached)

    def to_json(self) -> dict[str, int]:
        """The counts."""
        return {"prompt": self.prompt, "completion": self.completion, "cached": self.cached}


@dataclass
class EndpointStats:
    """What went to one endpoint; `errors` counts attempts that failed, by their reason."""

    name: str
    requests: int = 0
    in_flight: int = 0
    errors: Counter[str] = field(default_factory=Counter[str])
    tokens: Tokens = field(default_factory=Tokens)
    cost: float = 0.0
    latency: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)

    def with_those_of(self, other: EndpointStats) -> EndpointStats:
        """A new one that counts both."""
        return EndpointStats(
            self.name,
            self.requests + other.requests,
            self.in_flight + other.in_flight,
            self.errors + other.errors,
            self.tokens.with_those_of(other.tokens),
            self.cost + other.cost,
            self.latency.with_those_of(other.latency),
            self.first_token.with_those_of(other.first_token),
        )

    def to_json(self, *, healthy: bool) -> dict[str, Any]:
        """What `stats` shows."""
        return {
            "name": self.name,
            "healthy": healthy,
            "inFlight": self.in_flight,
            "requests": self.requests,
            "errors": sum(self.errors.values()),
            "tokens": self.tokens.to_json(),
            "cost": self.cost,
            "latency": self.latency.to_json(),
            "firstToken": self.first_token.to_json(),
        }


@dataclass
class ProxyStats:
    """What one proxy has done; `refused` counts by the code of the error, `cache` by what the cache said."""

    name: str
    requests: int = 0
    errors: int = 0
    in_flight: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    cache: Counter[str] = field(default_factory=Counter[str])
    tokens: Tokens = field(default_factory=Tokens)
    cost: float = 0.0
    currency: str = "USD"
    endpoints: dict[str, EndpointStats] = field(default_factory=dict[str, EndpointStats])

    def endpoint(self, key: str, name: str) -> EndpointStats:
        """The counts of one endpoint."""
        found = self.endpoints.get(key)
        if found is None:
            found = self.endpoints[key] = EndpointStats(name)
        return found


class Stats:
    """The counts of all proxies."""

    def __init__(self) -> None:
        self._proxies: dict[str, ProxyStats] = {}

    def proxy(self, key: str, name: str) -> ProxyStats:
        """The counts of one proxy."""
        found = self._proxies.get(key)
        if found is None:
            found = self._proxies[key] = ProxyStats(name)
        return found

    def __iter__(self) -> Iterator[ProxyStats]:
        return iter(self._proxies.values())
