"""Everything that the policies of one plan need, made once for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentrun.gateway.cache.answer_cache import AnswerCache
from agentrun.gateway.limits.budgets import Budgets
from agentrun.gateway.limits.prices import cost_of
from agentrun.gateway.limits.rate_limits import Limits
from agentrun.gateway.plan import Plan
from agentrun.gateway.routing.helpers import Helpers
from agentrun.gateway.routing.upstreams import Upstreams
from agentrun.gateway.safety.checks import CheckFunction
from agentrun.gateway.safety.content_safety import ContentSafety
from agentrun.gateway.state.base import State
from agentrun.gateway.streaming.usage import Usage


@dataclass(frozen=True)
class Governance:
    """The policies of a plan at work; `counts` says that the usage of each call must be known."""

    plan: Plan
    limits: Limits
    budgets: Budgets
    cache: AnswerCache | None
    safety: ContentSafety | None
    counts: bool

    def cost(self, usage: Usage, *models: str) -> float | None:
        """What a usage costs, None without a price."""
        prices = self.plan.gateway.prices
        return cost_of(prices, usage, *models) if prices else None


def govern(plan: Plan, state: State, upstreams: Upstreams, functions: Mapping[str, CheckFunction]) -> Governance:
    """The governance of a plan; raises PlanError when a policy cannot be followed."""
    helpers = Helpers(plan, upstreams)
    more, limiter = plan.gateway, plan.policies.token_rate_limiter
    counts = bool(limiter or more.budgets or more.prices or any(limit.tokens for limit in more.rate_limits))
    return Governance(
        plan,
        Limits(plan, state),
        Budgets(plan, state),
        AnswerCache.of(plan, state, helpers.embed),
        ContentSafety.of(plan, functions, helpers.moderate),
        counts,
    )
