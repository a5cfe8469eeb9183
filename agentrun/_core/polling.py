"""Waiting until something is so."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agentrun._core.blocking import sleep
from agentrun.errors import WaitTimeoutError

T = TypeVar("T")

FIRST_INTERVAL = 0.05


async def wait_until(
    look: Callable[[], Awaitable[T]],
    done: Callable[[T], bool],
    *,
    what: str,
    interval: float,
    timeout: float,
) -> T:
    """The first look that is `done`; raises WaitTimeoutError after `timeout` seconds.

    The pause between two looks starts small and doubles up to `interval` seconds, so that a fast platform is not
    waited for and a slow one is not asked too often.
    """
    deadline = time.monotonic() + timeout
    pause = min(FIRST_INTERVAL, interval)
    while True:
        value = await look()
        if done(value):
            return value
        left = deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeoutError(f"{what} was not done within {timeout:g} s")
        await sleep(min(pause, left))
        pause = min(pause * 2, interval)
