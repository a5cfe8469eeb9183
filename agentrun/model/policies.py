"""What a model proxy does beside passing calls on: the contract's policies, and those of the local gateway."""

from __future__ import annotations

from enum import Enum

from pydantic import Field, field_validator, model_validator

from agentrun._core.model import Model


class ProxyMode(str, Enum):
    """How many models a proxy answers: one, which all endpoints serve, or several, each by those that name it."""

    SINGLE = "single"
    MULTI = "multi"


class ProxyConfigEndpoint(Model):
    """Where a proxy sends calls: a model service by its name, or a base URL that needs no key.

    `weight` is its share among the endpoints of a model, 1 unless given; 0 takes it out. Extensions of the local
    platform: `concurrency_limit` bounds the calls under way, `model_mapping` gives the endpoint's name of a model
    where it is another one than callers use.
    """

    base_url: str | None = None
    model_names: list[str] | None = None
    model_service_name: str | None = None
    weight: int | None = Field(default=None, ge=0)
    concurrency_limit: int | None = Field(default=None, ge=1)
    model_mapping: dict[str, str] | None = None


class ProxyConfigFallback(Model):
    """The model to ask when all endpoints have failed; without a service it is another one of the proxy's own."""

    model_name: str | None = None
    model_service_name: str | None = None


class ProxyConfigTokenRateLimiter(Model):
    """How many tokens may pass in a second, a minute, an hour, a day."""

    tps: int | None = Field(default=None, ge=1)
    tpm: int | None = Field(default=None, ge=1)
    tph: int | None = Field(default=None, ge=1)
    tpd: int | None = Field(default=None, ge=1)


class ProxyConfigAIGuardrailConfig(Model):
    """What is checked for harmful content, and what of it is refused."""

    check_request: bool | None = None
    check_response: bool | None = None
    level: str | None = None
    max_text_length: int | None = Field(default=None, ge=1)
    block_on_content_moderation: bool | None = None
    block_on_malicious_url: bool | None = None
    block_on_model_hallucination: bool | None = None
    block_on_prompt_attack: bool | None = None
    block_on_sensitive_data: bool | None = None


class LimitScope(str, Enum):
    """Whom a limit counts together: all callers of a proxy, those with one API key, those of one tenant."""

    PROXY = "proxy"
    KEY = "key"
    TENANT = "tenant"


class BudgetPeriod(str, Enum):
    """How long a budget lasts before it begins anew; hours, days and months are those of UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class BudgetAction(str, Enum):
    """What happens to calls when a budget is used up: they are refused, or answered with a warning in a header."""

    BLOCK = "block"
    WARN = "warn"


class SafetyAction(str, Enum):
    """What happens to content that a check finds: it is refused, replaced by `***`, or passed on and noted."""

    BLOCK = "block"
    REDACT = "redact"
    FLAG = "flag"


class TimeoutPolicy(Model):
    """How long an endpoint may take, in seconds; None waits for ever.

    `first_token_seconds` is for the first piece of an answer, streamed or whole, `between_tokens_seconds` for each
    further one. `request_timeout` of the policies bounds all of it, with every endpoint that is tried.
    """

    connect_seconds: float = Field(default=5.0, gt=0)
    first_token_seconds: float | None = Field(default=None, gt=0)
    between_tokens_seconds: float | None = Field(default=None, gt=0)


class RetryPolicy(Model):
    """When another endpoint is tried: on failures to connect, timeouts, and these statuses.

    `num_retries` of the policies bounds the tries of one call. Over ten seconds no more calls are sent again than
    `budget_ratio` of all calls and `budget_minimum` together, so that retries cannot drown what struggles. An endpoint
    that asks to be left alone (`Retry-After`) is, for at most `longest_retry_after_seconds`; a call that has no other
    waits for it if that is within its own time. When `hedge_after_seconds` is given, a call that has no answer after
    that time is sent to a second endpoint as well, within the same budget; the first answer is taken.
    """

    statuses: list[int] = Field(default_factory=lambda: [408, 429, 500, 502, 503, 504, 529])
    budget_ratio: float = Field(default=0.2, ge=0)
    budget_minimum: int = Field(default=100, ge=0)
    longest_retry_after_seconds: float = Field(default=30.0, ge=0)
    hedge_after_seconds: float | None = Field(default=None, gt=0)


class OutlierEjection(Model):
    """When an endpoint is left out: after so many failures in a row, until a single call to it succeeds again.

    One call is let through as a probe after `ejection_seconds`, and again after each further while of that length.
    """

    consecutive_failures: int = Field(default=5, ge=1)
    ejection_seconds: float = Field(default=1.0, gt=0)


class QueuePolicy(Model):
    """Who waits when a concurrency limit is reached: how many calls, and for how many seconds each."""

    size: int = Field(default=100, ge=0)
    timeout_seconds: float = Field(default=30.0, gt=0)


class RateLimit(Model):
    """How many requests or tokens may pass in any window of so many seconds."""

    requests: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    window_seconds: float = Field(default=60.0, gt=0)
    scope: LimitScope = LimitScope.PROXY

    @model_validator(mode="after")
    def _limits_something(self) -> RateLimit:
        if (self.requests is None) == (self.tokens is None):
            raise ValueError("give either requests or tokens")
        return self


class Budget(Model):
    """How much may be used in a period: tokens, or money by the prices of the policies."""

    tokens: int | None = Field(default=None, ge=1)
    cost: float | None = Field(default=None, gt=0)
    period: BudgetPeriod = BudgetPeriod.MONTH
    scope: LimitScope = LimitScope.PROXY
    action: BudgetAction = BudgetAction.BLOCK

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if (self.tokens is None) == (self.cost is None):
            raise ValueError("give either tokens or cost")
        return self


class ModelPrice(Model):
    """What a million tokens of a model cost; cached input costs what input does unless given."""

    input: float = Field(ge=0)
    output: float = Field(default=0.0, ge=0)
    cached_input: float | None = Field(default=None, ge=0)


class SemanticCache(Model):
    """Answers are also found by meaning: embeddings whose cosine similarity is at least `threshold`."""

    model_service_name: str
    model_name: str | None = None
    threshold: float = Field(default=0.95, gt=0, le=1)


class CachePolicy(Model):
    """How long answers are kept, and how much of them; each tenant has a cache of its own."""

    ttl_seconds: float = Field(default=3600.0, gt=0)
    max_bytes: int = Field(default=64 * 2**20, ge=1)
    semantic: SemanticCache | None = None


class ContentCheck(Model):
    """A check of what is asked and answered: by regular expressions, a function, or a moderation model.

    `function` is the name under which the gateway was given a callable; `model_service_name` a service whose
    `/moderations` is asked.
    """

    name: str
    patterns: list[str] | None = None
    function: str | None = None
    model_service_name: str | None = None
    request: bool = True
    response: bool = True
    action: SafetyAction = SafetyAction.BLOCK

    @model_validator(mode="after")
    def _has_one_way(self) -> ContentCheck:
        ways = [way for way in (self.patterns, self.function, self.model_service_name) if way]
        if len(ways) != 1:
            raise ValueError("give one of patterns, function and model_service_name")
        if self.action == SafetyAction.REDACT and not self.patterns:
            raise ValueError("only what patterns find can be redacted; use block or flag")
        return self


class GatewayPolicies(Model):
    """The policies that only the local platform and `agentrun gateway` have.

    With `sticky_sessions` calls of one session go to one endpoint while it is healthy; the session is the header
    `x-agentrun-session-id`, or else the field `user`. `prices` are by model, `*` for all others, in `currency`.
    """

    timeouts: TimeoutPolicy = TimeoutPolicy()
    retry: RetryPolicy = RetryPolicy()
    outlier_ejection: OutlierEjection = OutlierEjection()
    sticky_sessions: bool = False
    queue: QueuePolicy = QueuePolicy()
    rate_limits: list[RateLimit] = Field(default_factory=list["RateLimit"])
    budgets: list[Budget] = Field(default_factory=list["Budget"])
    prices: dict[str, ModelPrice] = Field(default_factory=dict[str, "ModelPrice"])
    currency: str = "USD"
    cache: CachePolicy = CachePolicy()
    content_checks: list[ContentCheck] = Field(default_factory=list["ContentCheck"])

    @field_validator("content_checks")
    @classmethod
    def _names_differ(cls, checks: list[ContentCheck]) -> list[ContentCheck]:
        names = [check.name for check in checks]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two checks are called {repeated!r}")
        return checks


class ProxyConfigPolicies(Model):
    """What a proxy does beside passing calls on; `request_timeout` is seconds, `num_retries` further endpoints tried.

    `gateway` is an extension of the local platform; elsewhere it raises UnsupportedError.
    """

    cache: bool | None = None
    concurrency_limit: int | None = Field(default=None, ge=1)
    fallbacks: list[ProxyConfigFallback] | None = None
    num_retries: int | None = Field(default=None, ge=0)
    request_timeout: int | None = Field(default=None, ge=1)
    ai_guardrail_config: ProxyConfigAIGuardrailConfig | None = None
    token_rate_limiter: ProxyConfigTokenRateLimiter | None = None
    gateway: GatewayPolicies | None = None


class ProxyConfig(Model):
    """Where a proxy sends calls, and how."""

    endpoints: list[ProxyConfigEndpoint] | None = None
    policies: ProxyConfigPolicies | None = None
