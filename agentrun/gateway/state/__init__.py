"""What gateways that work together must agree on: limits, budgets, cached answers, who is ejected."""

from __future__ import annotations

import os
from collections.abc import Mapping

from agentrun.gateway.state.base import State
from agentrun.gateway.state.memory import MemoryState

REDIS_URL = "AGENTRUN_REDIS_URL"


def open_state(environment: Mapping[str, str] = os.environ) -> State:
    """State in the Redis of `AGENTRUN_REDIS_URL`, else in memory; raises ImportError that names the extra."""
    url = environment.get(REDIS_URL)
    if not url:
        return MemoryState()
    try:
        from agentrun.gateway.state.redis import RedisState
    except ImportError as error:
        raise ImportError(f"{REDIS_URL} needs the redis package: pip install 'agentrun[redis]'") from error
    return RedisState(url)
