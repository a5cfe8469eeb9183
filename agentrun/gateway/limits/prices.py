"""What calls cost, by the prices of the policies."""

from __future__ import annotations

from collections.abc import Mapping

from agentrun.gateway.streaming.usage import Usage
from agentrun.model.policies import ModelPrice

_PER = 1_000_000


def cost_of(prices: Mapping[str, ModelPrice], usage: Usage, *models: str) -> float | None:
    """The cost of a call, by the first of these names of its model that has a price, else `*`; None without one."""
    price = next((prices[name] for name in (*models, "*") if name in prices), None)
    if price is None:
        return None
    cached = min(usage.cached, usage.prompt)
    cached_input = price.input if price.cached_input is None else price.cached_input
    return ((usage.prompt - cached) * price.input + cached * cached_input + usage.completion * price.output) / _PER
