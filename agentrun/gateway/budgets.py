"""How much may be spent in a period: tokens, or money."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple, TypedDict

from agentrun._serving.openai_error import DO_NOT_RETRY, ApiError
from agentrun.gateway.call import Call, Caller
from agentrun.gateway.plan import Plan, PlanError
from agentrun.gateway.scopes import member, whose
from agentrun.gateway.state.base import Spending, State
from agentrun.gateway.usage import Usage
from agentrun.model.policies import Budget, BudgetAction, BudgetPeriod, LimitScope

# Money is added up in billionths, as whole numbers: a sum of floats drifts, and 64 bits hold nine billion of it.
_PARTS = 1_000_000_000
_HOUR, _DAY = 3600, 86400
# How much longer than its period a sum is kept, for gateways whose clocks are behind.
_MARGIN = 3600.0
_MOST_CALLERS = 1000


class BudgetReport(TypedDict):
    """What was used of a budget; `name` is the key or tenant, and empty for a whole proxy."""

    scope: str
    name: str
    period: str
    limit: float
    used: float
    unit: str


class _Period(NamedTuple):
    """The period that it is now, and when it is over."""

    name: str
    end: float


@dataclass(frozen=True)
class _Rule:
    """One budget of a plan; `limit` is in whole numbers, `parts` of a `unit`."""

    prefix: str
    policy: Budget
    unit: str
    limit: int
    parts: int

    def key(self, caller: Caller, period: _Period) -> str:
        return f"{self.prefix}{period.name}:{member(self.policy.scope, caller)}"

    def text(self, amount: int) -> str:
        return f"{amount / self.parts:.10g} {self.unit}"

    def __str__(self) -> str:
        period = self.policy.period.value
        return f"{self.text(self.limit)} {'in total' if period == 'total' else f'a {period}'}"


class Budgets:
    """The budgets of one plan, counted in `state`; `clock` gives seconds since 1970.

    A call is let in while anything is left, and counted when it is over: calls under way may go beyond a budget.
    """

    def __init__(self, plan: Plan, state: State, clock: Callable[[], float] = time.time) -> None:
        self._plan = plan
        self._state = state
        self._clock = clock
        self._rules = [_rule(plan, budget) for budget in plan.gateway.budgets]
        self._callers: dict[Caller, None] = {}

    async def check(self, call: Call) -> str | None:
        """What to warn the caller of; raises ApiError (429, insufficient_quota) when nothing is left and it blocks."""
        if not self._rules:
            return None
        self._remember(call.caller)
        used = await self._used(call.caller)
        over = [(rule, amount) for rule, amount in zip(self._rules, used, strict=True) if amount >= rule.limit]
        texts = [self._text(rule, amount, call.caller) for rule, amount in over]
        for (rule, _), text in zip(over, texts, strict=True):
            if rule.policy.action == BudgetAction.BLOCK:
                raise ApiError(429, text, "insufficient_quota", type="insufficient_quota", headers=DO_NOT_RETRY)
        return " ".join(texts).encode("ascii", "backslashreplace").decode() or None

    async def spend(self, caller: Caller, usage: Usage, cost: float | None) -> None:
        """Count a call; one without a price costs nothing."""
        now = self._clock()
        amounts = {"tokens": usage.total, self._plan.gateway.currency: round((cost or 0.0) * _PARTS)}
        spendings: dict[str, Spending] = {}
        for rule in self._rules:
            period = _period(rule.policy.period, now)
            key = rule.key(caller, period)
            ttl = None if period.end == math.inf else period.end - now + _MARGIN
            spendings[key] = Spending(key, amounts[rule.unit], ttl)
        due = [spending for spending in spendings.values() if spending.amount]
        if due:
            await self._state.spend(due)

    async def report(self) -> list[BudgetReport]:
        """What was used of each budget in its period, by the callers that this process has seen last."""
        lines = dict.fromkeys((rule, caller) for rule in self._rules for caller in self._members(rule))
        now = self._clock()
        used = await self._state.spent([rule.key(caller, _period(rule.policy.period, now)) for rule, caller in lines])
        return [
            BudgetReport(
                scope=rule.policy.scope.value,
                name=member(rule.policy.scope, caller),
                period=rule.policy.period.value,
                limit=rule.limit / rule.parts,
                used=amount / rule.parts,
                unit=rule.unit,
            )
            for (rule, caller), amount in zip(lines, used, strict=True)
        ]

    def _members(self, rule: _Rule) -> Iterator[Caller]:
        """One caller for each of those that a budget counts for themselves."""
        if rule.policy.scope == LimitScope.PROXY:
            yield Caller()
        for caller in self._callers:
            if rule.policy.scope == LimitScope.KEY:
                yield Caller(key=caller.key)
            elif rule.policy.scope == LimitScope.TENANT:
                yield Caller(tenant=caller.tenant)

    def _remember(self, caller: Caller) -> None:
        self._callers.pop(caller, None)
        self._callers[caller] = None
        if len(self._callers) > _MOST_CALLERS:
            del self._callers[next(iter(self._callers))]

    async def _used(self, caller: Caller) -> list[int]:
        now = self._clock()
        return await self._state.spent([rule.key(caller, _period(rule.policy.period, now)) for rule in self._rules])

    def _text(self, rule: _Rule, used: int, caller: Caller) -> str:
        end = _period(rule.policy.period, self._clock()).end
        again = "" if end == math.inf else f" It begins anew at {_utc(end):%Y-%m-%dT%H:%M:%SZ}."
        who = whose(rule.policy.scope, caller, self._plan)
        return f"The budget of {who} is used up: {rule}, of which {rule.text(used)} are used.{again}"


def _rule(plan: Plan, budget: Budget) -> _Rule:
    start = f"{plan.key}:{budget.scope.value}:{budget.period.value}"
    if budget.tokens is not None:
        return _Rule(f"{start}:tokens:", budget, "tokens", budget.tokens, 1)
    if not plan.gateway.prices:
        raise PlanError("a budget of money (budgets[].cost) needs prices")
    currency = plan.gateway.currency
    return _Rule(f"{start}:{currency}:", budget, currency, max(1, round((budget.cost or 0.0) * _PARTS)), _PARTS)


def _period(period: BudgetPeriod, now: float) -> _Period:
    if period == BudgetPeriod.TOTAL:
        return _Period("", math.inf)
    if period == BudgetPeriod.MONTH:
        return _month(now)
    seconds = _HOUR if period == BudgetPeriod.HOUR else _DAY
    number = int(now // seconds)
    return _Period(str(number), (number + 1.0) * seconds)


def _month(now: float) -> _Period:
    start = _utc(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return _Period(f"{start:%Y-%m}", following.timestamp())


def _utc(now: float) -> datetime:
    return datetime.fromtimestamp(now, timezone.utc)
