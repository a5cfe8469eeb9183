"""Whom limits and budgets count together."""

from __future__ import annotations

from agentrun.gateway.call import Caller
from agentrun.gateway.plan import Plan
from agentrun.model.policies import LimitScope


def member(scope: LimitScope, caller: Caller) -> str:
    """Who a caller is in a scope: a key, a tenant, or one of all."""
    if scope == LimitScope.PROXY:
        return ""
    return caller.key if scope == LimitScope.KEY else caller.tenant


def whose(scope: LimitScope, caller: Caller, plan: Plan) -> str:
    """The same in words."""
    name = plan.name if scope == LimitScope.PROXY else member(scope, caller)
    return f"{scope.value} {name!r}" if name else f"calls without a {scope.value}"
