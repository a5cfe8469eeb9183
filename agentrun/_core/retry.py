"""When a failed request may be sent again; tenacity does the waiting and counting.

A request goes out again only if that cannot do anything twice: nothing was sent (no connection), the service refused
it (429, or 503 with Retry-After), or it only reads. A create that may have been executed is never repeated.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from agentrun._core.blocking import sleep
from agentrun.errors import AgentRunError, ConnectError, HTTPError, TransportError

T = TypeVar("T")

BASE_DELAY = 0.2
LONGEST_DELAY = 20.0
_TRANSIENT = (500, 502, 503, 504)


def retry_after(error: BaseException) -> float | None:
    """The seconds that the service asked to wait, None when it did not say."""
    if not isinstance(error, HTTPError):
        return None
    value = str(error.response_headers.get("retry-after", ""))
    return float(value) if value.replace(".", "", 1).isdigit() else None


def may_repeat(error: BaseException, *, reads_only: bool) -> bool:
    """Whether sending the request again cannot do anything twice."""
    if isinstance(error, ConnectError):
        return True
    if isinstance(error, TransportError):
        return reads_only
    if isinstance(error, HTTPError):
        refused = error.status_code == 429 or (error.status_code == 503 and retry_after(error) is not None)
        return refused or (reads_only and error.status_code in _TRANSIENT)
    return False


def delay(error: BaseException | None, attempt: int) -> float:
    """Seconds before the next attempt: what the service asked for, else doubling with full jitter."""
    asked = retry_after(error) if error else None
    jitter = random.uniform(0.5, 1.0) * BASE_DELAY * 2 ** (attempt - 1)
    return min(LONGEST_DELAY, jitter if asked is None else asked + random.uniform(0, BASE_DELAY))


def _wait(state: RetryCallState) -> float:
    return delay(state.outcome.exception() if state.outcome else None, state.attempt_number)


async def with_retries(
    attempt: Callable[[], Awaitable[T]], *, reads_only: bool, retries: int, deadline: float
) -> T:
    """The result of `attempt`, made again up to `retries` times and not past `deadline` (monotonic seconds)."""
    try:
        return await attempt()
    except AgentRunError as error:
        failed: AgentRunError | None = error
        if not retries or not may_repeat(error, reads_only=reads_only):
            raise

    async def again() -> T:
        # tenacity is handed the first failure too, so that it alone decides and counts; a call that succeeds at
        # once never pays for it.
        nonlocal failed
        if failed is not None:
            first, failed = failed, None
            raise first
        return await attempt()

    def stop(state: RetryCallState) -> bool:
        return stop_after_attempt(retries + 1)(state) or time.monotonic() + state.upcoming_sleep > deadline

    policy = AsyncRetrying(
        sleep=sleep,
        stop=stop,
        wait=_wait,
        retry=retry_if_exception(lambda error: may_repeat(error, reads_only=reads_only)),
        reraise=True,
    )
    result: T = await policy(again)
    return result
