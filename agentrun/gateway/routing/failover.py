"""Asks one target after another until one begins to answer; nothing of it has reached the caller before that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from agentrun._serving.openai_error import ApiError
from agentrun.gateway.limits.rate_limits import retry_after
from agentrun.gateway.plan import Plan
from agentrun.gateway.routing.attempt import REFUSALS, Answer, Attempts, Failure, Order
from agentrun.gateway.routing.health import Health
from agentrun.gateway.routing.hedge import Attempt, hedged
from agentrun.gateway.routing.retry_budget import RetryBudget
from agentrun.gateway.routing.router import Choice, Router

_DEFAULT_RETRIES = 2
_FIRST_PAUSE_SECONDS = 0.1


class Failover:
    """Finds an answer to a call, wherever one is to be had."""

    def __init__(self, router: Router, health: Health, attempts: Attempts, clock: Callable[[], float]) -> None:
        self._router = router
        self._health = health
        self._attempts = attempts
        self._clock = clock
        self._budgets: dict[str, RetryBudget] = {}

    async def answer(self, order: Order) -> Answer:
        """The answer of the first target that gives one; raises ApiError when none does before the deadline."""
        budget = self._budget(order.plan)
        budget.called()
        choice = self._router.choose(order.plan, order.call, ())
        while choice is not None:
            choice = await self._rested(order, choice)
            try:
                answer = await self._asked(order, choice, budget)
            except Failure:
                choice = await self._next(order, budget)
            else:
                answer.attempts = order.attempts
                return answer
        if not order.failures:
            raise ApiError(503, f"{order.plan.name} has no endpoint with a weight", "no_endpoint", type="server_error")
        raise order.failures[-1].answer(order.attempts)

    def _budget(self, plan: Plan) -> RetryBudget:
        budget = self._budgets.get(plan.key)
        if budget is None:
            budget = self._budgets[plan.key] = RetryBudget(self._clock)
        return budget

    async def _rested(self, order: Order, choice: Choice) -> Choice:
        """The choice, once it does not want to be left alone any more; raises ApiError when that is too late."""
        seconds = self._health.rests(choice.target.key)
        if not seconds:
            return choice
        if not order.has_time(self._clock(), seconds):
            text = f"endpoint {choice.target.name} wants to be left alone for {seconds:.1f} s"
            raise ApiError(429, text, "upstream_busy", type="rate_limit_error", headers=retry_after(seconds))
        await asyncio.sleep(seconds)
        return self._router.choose(order.plan, order.call, ()) or choice

    async def _next(self, order: Order, budget: RetryBudget) -> Choice | None:
        """Where to try again: somewhere else, or where it was tried already, after a pause; None when it is enough."""
        last = order.failures[-1]
        if not self._may_try_again(order, budget):
            return None
        choice = self._router.choose(order.plan, order.call, order.tried)
        if choice is not None and not self._health.rests(choice.target.key):
            return choice
        pause = _pause(order.failures)
        if last.status in REFUSALS or not order.has_time(self._clock(), pause):
            return None
        await asyncio.sleep(pause)
        return self._router.choose(order.plan, order.call, ())

    def _may_try_again(self, order: Order, budget: RetryBudget) -> bool:
        plan, last = order.plan, order.failures[-1]
        everywhere = len(plan.targets) + len(plan.fallbacks) - 1
        most = max(_DEFAULT_RETRIES, everywhere) if plan.policies.num_retries is None else plan.policies.num_retries
        if last.final or len(order.failures) > most or not order.has_time(self._clock()):
            return False
        return budget.may_retry(plan.gateway.retry, free=not last.sent)

    async def _asked(self, order: Order, choice: Choice, budget: RetryBudget) -> Answer:
        """The answer of a target, or that of another one when it is slow and hedging is on; raises Failure."""
        after = order.plan.gateway.retry.hedge_after_seconds
        if after is None:
            return await self._attempts.ask(order, choice)
        asked = {choice.target.key, *order.tried}

        def second() -> Attempt[Answer] | None:
            other = self._router.another(order.plan, order.call, asked)
            if other is None or not budget.may_retry(order.plan.gateway.retry, free=False):
                return None
            return self._attempts.ask(order, other)

        return await hedged(self._attempts.ask(order, choice), after, second, self._attempts.end)


def _pause(failures: list[Failure]) -> float:
    """Seconds before the same targets are asked again: as the first of them wants, or longer each time."""
    asked = [seconds for failure in failures if (seconds := failure.retry_after) is not None]
    # At random, so that calls that failed together do not come back together.
    grown = _FIRST_PAUSE_SECONDS * 2 ** (len(failures) - 1) * random.uniform(0.5, 1.0)
    return min(asked) if asked else grown
