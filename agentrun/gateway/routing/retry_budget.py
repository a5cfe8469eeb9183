"""How many calls may be sent again, so that retries cannot drown targets that struggle."""

from __future__ import annotations

from collections.abc import Callable

from agentrun.model.policies import RetryPolicy

_WINDOW_SECONDS = 10.0


class RetryBudget:
    """Counts calls and retries of the last ten to twenty seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._turn = clock()
        self._calls = self._retries = 0
        self._calls_before = self._retries_before = 0

    def called(self) -> None:
        """A call came."""
        self._roll()
        self._calls += 1

    def may_retry(self, policy: RetryPolicy, *, free: bool) -> bool:
        """Whether one more call may be sent again; it is counted, unless it is `free` because it never left us."""
        if free:
            return True
        self._roll()
        calls, retries = self._calls + self._calls_before, self._retries + self._retries_before
        if retries >= policy.budget_minimum + policy.budget_ratio * calls:
            return False
        self._retries += 1
        return True

    def _roll(self) -> None:
        passed = self._clock() - self._turn
        if passed < _WINDOW_SECONDS:
            return
        recent = passed < 2 * _WINDOW_SECONDS
        self._calls_before, self._retries_before = (self._calls, self._retries) if recent else (0, 0)
        self._calls = self._retries = 0
        self._turn = self._clock()
