"""Asks one target after another until one begins to answer; nothing of it has reached the caller before that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from agentrun._serving.openai_error import ApiError
from agentrun.gateway.attempt import REFUSALS, Answer, Attempts, Failure, Order
from agentrun.gateway.plan import Plan
from agentrun.gateway.retry_budget import RetryBudget
from agentrun.gateway.router import Choice, Router

_DEFAULT_RETRIES = 2
_FIRST_PAUSE_SECONDS = 0.1


class Failover:
    """Finds an answer to a call, wherever one is to be had; `on_failure` is told of each attempt that failed."""

    def __init__(
        self,
        router: Router,
        attempts: Attempts,
        clock: Callable[[], float],
        on_failure: Callable[[Plan, Failure], None],
    ) -> None:
        self._router = router
        self._attempts = attempts
        self._clock = clock
        self._on_failure = on_failure
        self._budgets: dict[str, RetryBudget] = {}

    async def answer(self, order: Order) -> Answer:
        """The answer of the first target that gives one; raises ApiError when none does before the deadline."""
        budget = self._budget(order.plan)
        budget.called()
        failures: list[Failure] = []
        choice = self._router.choose(order.plan, order.call, ())
        while choice is not None:
            try:
                return await self._attempts.ask(order, choice, len(failures) + 1)
            except Failure as failure:
                failures.append(failure)
                self._on_failure(order.plan, failure)
            choice = await self._next(order, failures) if self._may_try_again(order.plan, failures, budget) else None
        if not failures:
            raise ApiError(503, f"{order.plan.name} has no endpoint with a weight", "no_endpoint", type="server_error")
        raise failures[-1].answer(len(failures))

    def _budget(self, plan: Plan) -> RetryBudget:
        budget = self._budgets.get(plan.key)
        if budget is None:
            budget = self._budgets[plan.key] = RetryBudget(self._clock)
        return budget

    def _may_try_again(self, plan: Plan, failures: list[Failure], budget: RetryBudget) -> bool:
        everywhere = len(plan.targets) + len(plan.fallbacks) - 1
        most = plan.policies.num_retries
        if failures[-1].final or len(failures) > (max(_DEFAULT_RETRIES, everywhere) if most is None else most):
            return False
        return budget.may_retry(plan.gateway.retry, free=not failures[-1].sent)

    async def _next(self, order: Order, failures: list[Failure]) -> Choice | None:
        """Where to try again: somewhere else, or where it was tried already, after a pause; None when it is enough."""
        choice = self._router.choose(order.plan, order.call, {failure.target.key for failure in failures})
        if choice is not None or failures[-1].status in REFUSALS:
            return choice
        pause = _pause(failures)
        too_late = order.deadline is not None and self._clock() + pause >= order.deadline
        if too_late or pause > order.plan.gateway.retry.longest_retry_after_seconds:
            return None
        await asyncio.sleep(pause)
        return self._router.choose(order.plan, order.call, ())


def _pause(failures: list[Failure]) -> float:
    """Seconds before the same targets are asked again: as the first of them wants, or longer each time."""
    asked = [seconds for failure in failures if (seconds := failure.retry_after) is not None]
    # At random, so that calls that failed together do not come back together.
    grown = _FIRST_PAUSE_SECONDS * 2 ** (len(failures) - 1) * random.uniform(0.5, 1.0)
    return min(asked) if asked else grown
