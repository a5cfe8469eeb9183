"""What a gateway has done: calls, errors, tokens, money and times, by proxy and by endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agentrun._serving.histogram import Histogram
from agentrun.gateway.streaming.usage import Usage


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
