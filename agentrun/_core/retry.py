"""When a request may be sent again; tenacity does the waiting and counting.

A request goes out again only if that cannot do anything twice: nothing was sent (no connection), the service refused
it (429, or 503 with Retry-After), or it only reads. A create that may have been executed is never repeated.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt

from agentrun._core.blocking import sleep
from agentrun.errors import AgentRunError, ConnectError, TransportError, seconds_to_wait

BASE_DELAY = 0.2
LONGEST_DELAY = 20.0
_TRANSIENT = (500, 502, 503, 504)


class Answer(Protocol):
    """What an attempt brings, as far as retries look at it; header names are lower-case."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        ...


A = TypeVar("A", bound=Answer)


def retry_after(outcome: Answer | AgentRunError) -> float | None:
    """The seconds that the service asked to wait, None when it did not say."""
    return None if isinstance(outcome, AgentRunError) else seconds_to_wait(outcome.headers)


def may_repeat(outcome: Answer | AgentRunError, *, reads_only: bool) -> bool:
    """Whether sending the request again makes sense and cannot do anything twice."""
    if isinstance(outcome, AgentRunError):
        return isinstance(outcome, ConnectError) or (reads_only and isinstance(outcome, TransportError))
    asked = retry_after(outcome)
    if asked is not None and asked > LONGEST_DELAY:
        return False  # To come back earlier than asked would only be refused again; the caller decides.
    refused = outcome.status == 429 or (outcome.status == 503 and asked is not None)
    return refused or (reads_only and outcome.status in _TRANSIENT)


def delay(outcome: Answer | AgentRunError, attempt: int) -> float:
    """Seconds before the next attempt: what the service asked for and a little more, else doubling with jitter."""
    asked = retry_after(outcome)
    if asked is not None:
        return asked + random.uniform(0, BASE_DELAY)
    return min(LONGEST_DELAY, random.uniform(0.5, 1.0) * BASE_DELAY * 2.0 ** (attempt - 1))


def _outcome(state: RetryCallState) -> Answer | AgentRunError:
    assert state.outcome is not None, "tenacity asks after an attempt"
    found: Answer | AgentRunError = state.outcome.result()
    return found


async def with_retries(attempt: Callable[[], Awaitable[A]], *, reads_only: bool, retries: int, deadline: float) -> A:
    """The result of `attempt`, made again up to `retries` times and not past `deadline` (monotonic seconds).

    When no attempt brings a better answer, the last one is returned, or its error raised.
    """

    async def outcome() -> A | AgentRunError:
        try:
            return await attempt()
        except AgentRunError as error:
            return error

    first = await outcome()
    if retries and may_repeat(first, reads_only=reads_only):
        return _settled(await _repeated(first, outcome, reads_only, retries, deadline))
    return _settled(first)


def _settled(outcome: A | AgentRunError) -> A:
    if isinstance(outcome, AgentRunError):
        raise outcome
    return outcome


async def _repeated(
    first: A | AgentRunError,
    outcome: Callable[[], Awaitable[A | AgentRunError]],
    reads_only: bool,
    retries: int,
    deadline: float,
) -> A | AgentRunError:
    # tenacity is handed the first outcome too, so that it alone counts; a call that succeeds at once never pays for it.
    known: list[A | AgentRunError] = [first]

    async def next_outcome() -> A | AgentRunError:
        return known.pop() if known else await outcome()

    def stop(state: RetryCallState) -> bool:
        return stop_after_attempt(retries + 1)(state) or time.monotonic() + state.upcoming_sleep > deadline

    policy = AsyncRetrying(
        sleep=sleep,
        stop=stop,
        wait=lambda state: delay(_outcome(state), state.attempt_number),
        retry=retry_if_result(lambda found: may_repeat(found, reads_only=reads_only)),
        retry_error_callback=_outcome,
    )
    result: A | AgentRunError = await policy(next_outcome)
    return result
