"""Budgets and prices: what is counted, when it begins anew, and what a caller is told."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from agentrun._serving.openai_error import ApiError
from agentrun.gateway.call import Call, Caller
from agentrun.gateway.limits.budgets import Budgets
from agentrun.gateway.limits.prices import cost_of
from agentrun.gateway.plan import Plan, PlanError
from agentrun.gateway.state.memory import MemoryState
from agentrun.gateway.streaming.usage import Usage
from agentrun.model.policies import (
    Budget,
    BudgetAction,
    BudgetPeriod,
    GatewayPolicies,
    LimitScope,
    ModelPrice,
    ProxyConfigPolicies,
)
from tests.unit.gateway.clocks import ManualClock
from tests.unit.gateway.counting import CountingState

ANNA, BERT = Caller(key="anna", tenant="acme"), Caller(key="bert", tenant="acme")
PRICES = {"*": ModelPrice(input=1, output=2)}


def call_of(caller: Caller = ANNA) -> Call:
    return Call("completions", b"{}", {}, {}, caller)


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def plan_of(*budgets: Budget, currency: str = "USD") -> Plan:
    gateway = GatewayPolicies(budgets=list(budgets), prices=PRICES, currency=currency)
    return Plan("shop", "p", (), policies=ProxyConfigPolicies(gateway=gateway))


class Ledger:
    """Budgets, with a clock for the calendar."""

    def __init__(self, *budgets: Budget, now: float | None = None) -> None:
        self.clock = ManualClock(utc("2024-12-31T23:30:00") if now is None else now)
        self.state = CountingState(self.clock)
        self.budgets = Budgets(plan_of(*budgets), self.state, self.clock)

    async def spend(self, tokens: int = 0, cost: float | None = None, caller: Caller = ANNA) -> None:
        await self.budgets.spend(caller, Usage(prompt=tokens), cost)

    async def warning(self, caller: Caller = ANNA) -> str | None:
        return await self.budgets.check(call_of(caller))

    async def refusal(self, caller: Caller = ANNA) -> ApiError:
        with pytest.raises(ApiError) as caught:
            await self.warning(caller)
        return caught.value


@pytest.mark.asyncio
async def test_without_budgets_the_state_is_not_asked() -> None:
    ledger = Ledger()
    assert await ledger.warning() is None
    await ledger.spend(100, 1.0)
    assert await ledger.budgets.report() == []
    assert ledger.state.asked == 0


@pytest.mark.asyncio
async def test_a_budget_of_tokens_stops_calls_when_it_is_used_up() -> None:
    ledger = Ledger(Budget(tokens=100, period=BudgetPeriod.MONTH))
    await ledger.spend(99)
    assert await ledger.warning() is None
    await ledger.spend(11)
    error = await ledger.refusal()
    assert (error.status, error.code, error.type) == (429, "insufficient_quota", "insufficient_quota")
    assert error.message == (
        "The budget of proxy 'shop' is used up: 100 tokens a month, of which 110 tokens are used."
        " It begins anew at 2025-01-01T00:00:00Z."
    )
    assert error.headers == {"x-should-retry": "false"}


@pytest.mark.asyncio
async def test_a_budget_that_warns_lets_calls_through() -> None:
    ledger = Ledger(
        Budget(cost=0.5, period=BudgetPeriod.TOTAL, action=BudgetAction.WARN, scope=LimitScope.KEY), Budget(tokens=1000)
    )
    caller = Caller(key="sch\u00f6n\r\n")
    assert await ledger.warning(caller) is None
    await ledger.spend(10, 0.75, caller)
    warning = await ledger.warning(caller)
    assert warning == r"The budget of key 'sch\xf6n\r\n' is used up: 0.5 USD in total, of which 0.75 USD are used."
    await ledger.spend(1000)
    assert "1000 tokens a month" in (await ledger.refusal(caller)).message


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("period", "last", "first"),
    [
        (BudgetPeriod.HOUR, utc("2024-02-28T23:59:59"), utc("2024-02-29T00:00:00")),
        (BudgetPeriod.DAY, utc("2024-02-28T23:59:59"), utc("2024-02-29T00:00:00")),
        (BudgetPeriod.MONTH, utc("2024-02-29T23:59:59"), utc("2024-03-01T00:00:00")),
        (BudgetPeriod.MONTH, utc("2024-12-31T23:59:59"), utc("2025-01-01T00:00:00")),
    ],
)
async def test_a_period_is_one_of_the_calendar(period: BudgetPeriod, last: float, first: float) -> None:
    ledger = Ledger(Budget(tokens=100, period=period), now=last)
    await ledger.spend(100)
    await ledger.refusal()
    ledger.clock.now = first
    assert await ledger.warning() is None
    await ledger.spend(100)
    await ledger.refusal()


@pytest.mark.asyncio
async def test_a_total_never_begins_anew() -> None:
    ledger = Ledger(Budget(tokens=100, period=BudgetPeriod.TOTAL))
    await ledger.spend(100)
    ledger.clock.advance(10 * 365 * 86400)
    assert "anew" not in (await ledger.refusal()).message


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("scope", "others"),
    [
        (LimitScope.PROXY, ()),
        (LimitScope.KEY, (BERT, Caller())),
        (LimitScope.TENANT, (Caller(key="anna", tenant="other"), Caller())),
    ],
)
async def test_a_budget_counts_those_of_its_scope_together(scope: LimitScope, others: tuple[Caller, ...]) -> None:
    ledger = Ledger(Budget(tokens=100, scope=scope))
    await ledger.spend(60)
    await ledger.spend(60, caller=Caller(key="anna", tenant="acme"))
    await ledger.refusal()
    for caller in others:
        assert await ledger.warning(caller) is None


@pytest.mark.asyncio
async def test_a_sum_of_money_does_not_drift() -> None:
    ledger = Ledger(Budget(cost=1.3))
    for _ in range(9_999):
        await ledger.spend(cost=0.00013)
    assert (await ledger.budgets.report())[0]["used"] == 1.29987
    assert await ledger.warning() is None
    await ledger.spend(cost=0.00013)
    await ledger.refusal()


@pytest.mark.asyncio
async def test_two_budgets_that_count_the_same_count_once() -> None:
    ledger = Ledger(
        Budget(tokens=80, action=BudgetAction.WARN), Budget(tokens=100), Budget(cost=5, period=BudgetPeriod.DAY)
    )
    await ledger.spend(90)
    warning = await ledger.warning()
    assert warning
    assert "80 tokens a month, of which 90 tokens are used" in warning


@pytest.mark.asyncio
async def test_a_call_without_a_price_counts_tokens_alone() -> None:
    ledger = Ledger(Budget(tokens=100), Budget(cost=1))
    await ledger.spend(30, None)
    assert [line["used"] for line in await ledger.budgets.report()] == [30, 0]


@pytest.mark.asyncio
async def test_the_report_has_a_line_for_each_who_is_counted() -> None:
    ledger = Ledger(
        Budget(cost=2.5, period=BudgetPeriod.DAY),
        Budget(tokens=100, period=BudgetPeriod.HOUR, scope=LimitScope.KEY),
        Budget(tokens=1000, scope=LimitScope.TENANT),
    )
    for caller, tokens in ((ANNA, 10), (BERT, 20), (ANNA, 5)):
        await ledger.warning(caller)
        await ledger.spend(tokens, 0.25, caller)
    assert await ledger.budgets.report() == [
        {"scope": "proxy", "name": "", "period": "day", "limit": 2.5, "used": 0.75, "unit": "USD"},
        {"scope": "key", "name": "bert", "period": "hour", "limit": 100, "used": 20, "unit": "tokens"},
        {"scope": "key", "name": "anna", "period": "hour", "limit": 100, "used": 15, "unit": "tokens"},
        {"scope": "tenant", "name": "acme", "period": "month", "limit": 1000, "used": 35, "unit": "tokens"},
    ]


@pytest.mark.asyncio
async def test_the_report_does_not_grow_for_ever() -> None:
    ledger = Ledger(Budget(tokens=100, scope=LimitScope.KEY))
    for i in range(3000):
        await ledger.warning(Caller(key=str(i)))
    assert len(await ledger.budgets.report()) == 1000


def test_a_budget_of_money_needs_prices() -> None:
    policies = ProxyConfigPolicies(gateway=GatewayPolicies(budgets=[Budget(cost=1)]))
    with pytest.raises(PlanError, match="needs prices"):
        Budgets(Plan("shop", "p", (), policies=policies), MemoryState())


def test_a_cost_is_by_the_first_name_that_has_a_price() -> None:
    prices = {
        "small": ModelPrice(input=1, output=2),
        "large": ModelPrice(input=10, output=30),
        "*": ModelPrice(input=5),
    }
    usage = Usage(prompt=1_000_000, completion=500_000)
    assert cost_of(prices, usage, "small") == 2
    assert cost_of(prices, usage, "unknown", "large") == 25
    assert cost_of(prices, usage, "unknown") == 5
    assert cost_of({"small": prices["small"]}, usage, "unknown") is None
    assert cost_of({}, usage) is None


def test_cached_input_has_a_price_of_its_own() -> None:
    usage = Usage(prompt=1_000_000, completion=0, cached=400_000)
    assert cost_of({"m": ModelPrice(input=10, cached_input=1)}, usage, "m") == pytest.approx(6.4)
    assert cost_of({"m": ModelPrice(input=10, cached_input=0)}, usage, "m") == 6
    assert cost_of({"m": ModelPrice(input=10)}, usage, "m") == 10
    assert cost_of({"m": ModelPrice(input=10, cached_input=1)}, Usage(prompt=10, cached=50), "m") == 10 / 1e6
