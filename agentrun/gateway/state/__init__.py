"""What gateways that work together must agree on: limits, budgets, cached answers, who is ejected."""

from __future__ import annotations

import os
from collections.abc import Mapping

from agentrun.gateway.state.base import State
from agentrun.gateway.state.memory import MemoryState

REDIS_URL = "AGENTRUN_REDIS_URL"
REDIS_TIMEOUT = "AGENTRUN_REDIS_TIMEOUT_SECONDS"


def open_state(environment: Mapping[str, str] = os.environ) -> State:
    """State in the Redis of `AGENTRUN_REDIS_URL`, else in memory.

    Raises ImportError that names the extra, and ValueError for a time-out that is none.
    """
    url = environment.get(REDIS_URL)
    if not url:
        return MemoryState()
    timeout = environment.get(REDIS_TIMEOUT, "0.5")
    try:
        from agentrun.gateway.state.redis import RedisState
    except ImportError as error:
        raise ImportError(f"{REDIS_URL} needs the redis package: pip install 'agentrun[redis]'") from error
    try:
        return RedisState(url, timeout_seconds=float(timeout))
    except ValueError as error:
        # The URL may hold a password.
        raise ValueError(f"{REDIS_URL} or {REDIS_TIMEOUT} cannot be used: {error}") from None
