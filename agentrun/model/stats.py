"""What a model proxy has done so far: an extension of the local platform. Times are seconds."""

from __future__ import annotations

from pydantic import Field

from agentrun._core.model import Model
from agentrun.model.policies import BudgetPeriod, LimitScope


class TokenStats(Model):
    """Tokens that were used; `cached` are those of the prompts that were answered from a provider's cache."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


class Percentiles(Model):
    """How long calls took, in seconds; None before there was one."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class EndpointStats(Model):
    """One endpoint of a proxy; `first_token` is the time to the first piece of an answer."""

    name: str
    healthy: bool = True
    in_flight: int = 0
    requests: int = 0
    errors: int = 0
    tokens: TokenStats = Field(default_factory=TokenStats)
    cost: float = 0.0
    latency: Percentiles = Field(default_factory=Percentiles)
    first_token: Percentiles = Field(default_factory=Percentiles)


class BudgetStats(Model):
    """One budget in its present period; `unit` is `tokens` or the currency."""

    scope: LimitScope | str
    period: BudgetPeriod | str
    limit: float
    used: float = 0.0
    unit: str


class ModelProxyStats(Model):
    """A proxy since it began to serve; `refused` are the calls that its policies turned away."""

    proxy: str
    requests: int = 0
    errors: int = 0
    refused: int = 0
    cache_hits: int = 0
    in_flight: int = 0
    queued: int = 0
    tokens: TokenStats = Field(default_factory=TokenStats)
    cost: float = 0.0
    currency: str | None = None
    endpoints: list[EndpointStats] = Field(default_factory=list["EndpointStats"])
    budgets: list[BudgetStats] = Field(default_factory=list["BudgetStats"])
