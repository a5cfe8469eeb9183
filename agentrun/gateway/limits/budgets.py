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
from agentrun.gateway.limits.scopes import member, whose
from agentrun.gateway.plan import Plan, PlanError
from agentrun.gateway.state.base import Spending, State
from agentrun.gateway.streaming.usage import Usage
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
    """A period of the calendar: its name, and when it begins and is over."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class _Rule:
    """One budget of a plan; `limit` is in whole numbers, `parts` of a `unit`."""

    prefix: str
    scope: LimitScope
    period: BudgetPeriod
    action: BudgetAction
    unit: str
    limit: int
    parts: int

    def key(self, caller: Caller, period: _Period) -> str:
        return f"{self.prefix}{period.name}:{member(self.scope, caller)}"

    def text(self, amount: int) -> str:
        return f"{amount / self.parts:.10g} {self.unit}"

    def __str__(self) -> str:
        period = self.period.value
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
        self._periods: dict[BudgetPeriod, _Period] = {}
        self._callers: dict[Caller, None] = {}

    async def check(self, call: Call) -> str | None:
        """What to warn the caller of; raises ApiError (429, insufficient_quota) when nothing is left and it blocks."""
        if not self._rules:
            return None
        self._remember(call.caller)
        used = await self._state.spent([rule.key(call.caller, self._period(rule)) for rule in self._rules])
        over = [(rule, amount) for rule, amount in zip(self._rules, used, strict=True) if amount >= rule.limit]
        if not over:
            return None
        texts = [self._text(rule, amount, call.caller) for rule, amount in over]
        for (rule, _), text in zip(over, texts, strict=True):
            if rule.action == BudgetAction.BLOCK:
                raise ApiError(429, text, "insufficient_quota", type="insufficient_quota", headers=DO_NOT_RETRY)
        return " ".join(texts).encode("ascii", "backslashreplace").decode()

    async def spend(self, caller: Caller, usage: Usage, cost: float | None) -> None:
        """Count a call; one without a price costs nothing."""
        if not self._rules:
            return
        now = self._clock()
        amounts = {"tokens": usage.total, self._plan.gateway.currency: round((cost or 0.0) * _PARTS)}
        spendings: dict[str, Spending] = {}
        for rule in self._rules:
            period = self._period(rule)
            key = rule.key(caller, period)
            spendings[key] = Spending(key, amounts[rule.unit], period.end - now + _MARGIN)
        due = [spending for spending in spendings.values() if spending.amount]
        if due:
            await self._state.spend(due)

    async def report(self) -> list[BudgetReport]:
        """What was used of each budget in its period, by the callers that this process has seen last."""
        if not self._rules:
            return []
        lines = dict.fromkeys((rule, caller) for rule in self._rules for caller in self._members(rule))
        used = await self._state.spent([rule.key(caller, self._period(rule)) for rule, caller in lines])
        return [
            BudgetReport(
                scope=rule.scope.value,
                name=member(rule.scope, caller),
                period=rule.period.value,
                limit=rule.limit / rule.parts,
                used=amount / rule.parts,
                unit=rule.unit,
            )
            for (rule, caller), amount in zip(lines, used, strict=True)
        ]

    def _members(self, rule: _Rule) -> Iterator[Caller]:
        """One caller for each of those that a budget counts for themselves."""
        if rule.scope == LimitScope.PROXY:
            yield Caller()
        for caller in self._callers:
            if rule.scope == LimitScope.KEY:
                yield Caller(key=caller.key)
            elif rule.scope == LimitScope.TENANT:
                yield Caller(tenant=caller.tenant)

    def _remember(self, caller: Caller) -> None:
        self._callers.pop(caller, None)
        self._callers[caller] = None
        if len(self._callers) > _MOST_CALLERS:
            del self._callers[next(iter(self._callers))]

    def _period(self, rule: _Rule) -> _Period:
        """The period of a rule that it is now."""
        now, known = self._clock(), self._periods.get(rule.period)
        if known is None or not known.start <= now < known.end:
            known = self._periods[rule.period] = _period(rule.period, now)
        return known

    def _text(self, rule: _Rule, used: int, caller: Caller) -> str:
        end = self._period(rule).end
        again = "" if end == math.inf else f" It begins anew at {_utc(end):%Y-%m-%dT%H:%M:%SZ}."
        who = whose(rule.scope, caller, self._plan)
        return f"The budget of {who} is used up: {rule}, of which {rule.text(used)} are used.{again}"


def _rule(plan: Plan, budget: Budget) -> _Rule:
    # A policy that was given one of these holds its text.
    scope, period, action = LimitScope(budget.scope), BudgetPeriod(budget.period), BudgetAction(budget.action)
    if budget.cost is None:
        unit, limit, parts = "tokens", budget.tokens or 0, 1
    else:
        unit, limit, parts = plan.gateway.currency, max(1, round(budget.cost * _PARTS)), _PARTS
        if not plan.gateway.prices:
            raise PlanError("a budget of money (budgets[].cost) needs prices")
    return _Rule(f"{plan.key}:{scope.value}:{period.value}:{unit}:", scope, period, action, unit, limit, parts)


def _period(period: BudgetPeriod, now: float) -> _Period:
    if period == BudgetPeriod.TOTAL:
        return _Period("", -math.inf, math.inf)
    if period == BudgetPeriod.MONTH:
        return _month(now)
    seconds = _HOUR if period == BudgetPeriod.HOUR else _DAY
    number = int(now // seconds)
    return _Period(str(number), number * seconds, (number + 1) * seconds)


def _month(now: float) -> _Period:
    start = _utc(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return _Period(f"{start:%Y-%m}", start.timestamp(), following.timestamp())


def _utc(now: float) -> datetime:
    return datetime.fromtimestamp(now, timezone.utc)
