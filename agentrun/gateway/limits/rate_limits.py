"""How many requests and tokens may pass: taken before a call, corrected when its usage is known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agentrun._serving.openai_error import DO_NOT_RETRY, ApiError
from agentrun.gateway.call import Call, Caller
from agentrun.gateway.limits.scopes import member, whose
from agentrun.gateway.plan import Plan
from agentrun.gateway.state.base import State, Take, Taken
from agentrun.gateway.streaming.usage import Usage
from agentrun.model.policies import LimitScope, ProxyConfigTokenRateLimiter

Unit = Literal["requests", "tokens"]

_WINDOWS = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}


@dataclass(frozen=True)
class Admission:
    """A call that was let in: what it took of tokens, and the headers that tell the caller what is left."""

    tokens: int = 0
    takes: tuple[Take, ...] = ()
    at: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


_UNLIMITED = Admission()


@dataclass(frozen=True)
class _Rule:
    """One limit of a plan."""

    key: str
    limit: int
    seconds: float
    unit: Unit
    scope: LimitScope

    def take(self, caller: Caller, tokens: int) -> Take:
        key = self.key + member(self.scope, caller)
        return Take(key, self.limit, self.seconds, tokens if self.unit == "tokens" else 1)

    def __str__(self) -> str:
        window = _WINDOWS.get(self.seconds) or f"{self.seconds:g} seconds"
        return f"{self.limit} {self.unit} per {window}"


class _Kind:
    """The limits of one unit, by their numbers, and their headers."""

    def __init__(self, unit: Unit, rules: tuple[int, ...]) -> None:
        self.rules = rules
        self.limit, self.remaining, self.reset = (
            f"x-ratelimit-{what}-{unit}" for what in ("limit", "remaining", "reset")
        )


class Limits:
    """The limits of one plan, counted in `state`."""

    def __init__(self, plan: Plan, state: State) -> None:
        self._plan = plan
        self._state = state
        self._rules = _rules(plan)
        self._requests, self._tokens = self._of("requests"), self._of("tokens")
        of_tokens = (self._rules[i] for i in self._tokens.rules)
        self._narrowest = min(of_tokens, key=lambda rule: rule.limit, default=None)

    def _of(self, unit: Unit) -> _Kind:
        return _Kind(unit, tuple([i for i, rule in enumerate(self._rules) if rule.unit == unit]))

    async def admit(self, call: Call) -> Admission:
        """Take what a call needs of all limits; raises ApiError (429) with the time to wait when one is reached."""
        if not self._rules:
            return _UNLIMITED
        tokens = self._estimate(call)
        takes = [rule.take(call.caller, tokens) for rule in self._rules]
        taken = await self._state.take(takes)
        headers = self._headers(taken)
        if taken.full is not None:
            raise self._refusal(taken, taken.full, takes, call.caller, headers)
        return Admission(tokens, tuple([takes[i] for i in self._tokens.rules]), taken.at, headers)

    async def settle(self, admission: Admission, usage: Usage | None) -> None:
        """Count what a call has used instead of what it took; None when nobody knows, `Usage()` when nothing."""
        if not admission.takes or usage is None or usage.total == admission.tokens:
            return
        await self._state.correct(admission.takes, admission.at, usage.total - admission.tokens)

    def _estimate(self, call: Call) -> int:
        """What to take of tokens; raises ApiError when it is more than ever fits, for which nobody needs to wait."""
        rule = self._narrowest
        if rule is None:
            return 0
        if call.estimated_tokens > rule.limit:
            message = (
                f"Request too large for {whose(rule.scope, call.caller, self._plan)}: it needs about"
                f" {call.estimated_tokens} tokens, and the limit is {rule}. Shorten the prompt, or ask for fewer"
                " tokens of output."
            )
            raise ApiError(429, message, "rate_limit_exceeded", type="tokens", headers=DO_NOT_RETRY)
        return call.estimated_tokens

    def _refusal(
        self, taken: Taken, full: int, takes: Sequence[Take], caller: Caller, headers: Mapping[str, str]
    ) -> ApiError:
        rule = self._rules[full]
        message = (
            f"Rate limit reached for {whose(rule.scope, caller, self._plan)}: the limit is {rule}, of which"
            f" {taken.left[full]} are left, and this call needs {takes[full].amount}."
            f" Try again in {duration(taken.wait)}."
        )
        waits = retry_after(taken.wait)
        return ApiError(429, message, "rate_limit_exceeded", type=rule.unit, headers={**headers, **waits})

    def _headers(self, taken: Taken) -> dict[str, str]:
        """What is left, by the limit of each unit that has least left."""
        headers: dict[str, str] = {}
        for kind in (self._requests, self._tokens):
            if kind.rules:
                i = kind.rules[0] if len(kind.rules) == 1 else min(kind.rules, key=taken.left.__getitem__)
                headers[kind.limit] = str(self._rules[i].limit)
                headers[kind.remaining] = str(taken.left[i])
                headers[kind.reset] = duration(taken.resets[i])
        return headers


def _rules(plan: Plan) -> list[_Rule]:
    """The limits of a plan; of two that count the same the narrower one, for both would count twice."""
    rules: dict[str, _Rule] = {}
    for rule in _all_rules(plan):
        known = rules.get(rule.key)
        rules[rule.key] = rule if known is None or rule.limit < known.limit else known
    return list(rules.values())


def _all_rules(plan: Plan) -> Iterator[_Rule]:
    limiter = plan.policies.token_rate_limiter or ProxyConfigTokenRateLimiter()
    for seconds, tokens in zip(_WINDOWS, (limiter.tps, limiter.tpm, limiter.tph, limiter.tpd), strict=True):
        yield from _rule(plan, tokens, seconds, "tokens", LimitScope.PROXY)
    for limit in plan.gateway.rate_limits:
        yield from _rule(plan, limit.requests, limit.window_seconds, "requests", limit.scope)
        yield from _rule(plan, limit.tokens, limit.window_seconds, "tokens", limit.scope)


def _rule(plan: Plan, limit: int | None, seconds: float, unit: Unit, scope: LimitScope) -> Iterator[_Rule]:
    scope = LimitScope(scope)  # A policy that was given one holds its text.
    if limit is not None:
        yield _Rule(f"{plan.key}:{unit}:{seconds:g}:{scope.value}:", limit, seconds, unit, scope)


def retry_after(seconds: float) -> dict[str, str]:
    """The headers that say when to try again; clients that know the second one are in time."""
    return {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(math.ceil(seconds * 1000))}


def duration(seconds: float) -> str:
    """A time as OpenAI writes it, such as 120ms, 1.5s or 6m0s."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:g}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
