"""Which targets are fit to be called: those that keep failing are left out, until a single call succeeds again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from agentrun.model.policies import OutlierEjection


@dataclass
class _Condition:
    failures: int = 0
    out_until: float | None = None
    probing: bool = False
    resting: bool = False


class Health:
    """The condition of targets, by their keys; times are those of `clock`, in seconds.

    `on_change` is told when a target is left out, for how many seconds, and with 0 when it is back.
    """

    def __init__(self, clock: Callable[[], float], on_change: Callable[[str, float], None] | None = None) -> None:
        self._clock = clock
        self._on_change = on_change
        self._conditions: dict[str, _Condition] = {}

    def usable(self, key: str) -> bool:
        """Whether a call may go to a target: it is in, or due for a probe that nobody makes yet."""
        condition = self._conditions.get(key)
        if condition is None or condition.out_until is None:
            return True
        return not condition.probing and self._clock() >= condition.out_until

    def is_in(self, key: str) -> bool:
        """Whether a target is not left out."""
        condition = self._conditions.get(key)
        return condition is None or condition.out_until is None

    def first_back(self, keys: Iterable[str]) -> str | None:
        """The one of these targets that is to be probed the soonest, rather one that nobody probes yet."""
        return min(keys, key=self._back, default=None)

    def rests(self, key: str) -> float:
        """For how many seconds still a target wants to be left alone."""
        condition = self._conditions.get(key)
        if condition is None or condition.out_until is None or not condition.resting:
            return 0.0
        return max(0.0, condition.out_until - self._clock())

    def begin(self, key: str) -> bool:
        """A call goes to a target; returns whether it is the probe of one that is out."""
        condition = self._conditions.get(key)
        if condition is None or condition.out_until is None or condition.probing:
            return False
        condition.probing = True
        return True

    def end(self, key: str, *, probe: bool) -> None:
        """A call to a target told nothing about it, because the caller went away."""
        condition = self._conditions.get(key)
        if condition is not None and probe:
            condition.probing = False

    def answers(self, key: str) -> None:
        """A target begins to answer, so it is in; what has failed in a row is forgotten once an answer is whole."""
        condition = self._conditions.get(key)
        if condition is None or condition.out_until is None:
            return
        condition.out_until = None
        condition.probing = condition.resting = False
        if self._on_change:
            self._on_change(key, 0.0)

    def succeeded(self, key: str) -> None:
        """A target has answered."""
        self.answers(key)
        self._conditions.pop(key, None)

    def failed(self, key: str, policy: OutlierEjection, *, probe: bool = False) -> None:
        """A target has not answered, or with an error of its own; it is out after some in a row, or a failed probe.

        Calls that were under way when it was left out say nothing new.
        """
        condition = self._condition(key)
        condition.failures += 1
        if condition.out_until is None:
            if condition.failures >= policy.consecutive_failures:
                self._leave_out(key, condition, policy.ejection_seconds)
        elif probe:
            self._leave_out(key, condition, policy.ejection_seconds)

    def rest(self, key: str, seconds: float) -> None:
        """A target has asked to be left alone."""
        condition = self._condition(key)
        self._leave_out(key, condition, seconds)
        condition.resting = True

    def learn(self, ejected: Mapping[str, float]) -> None:
        """Take over what other gateways have found: targets that are out, and for how many seconds still."""
        for key, seconds in ejected.items():
            condition = self._condition(key)
            if condition.out_until is None:
                condition.out_until = self._clock() + seconds

    def _condition(self, key: str) -> _Condition:
        return self._conditions.setdefault(key, _Condition())

    def _back(self, key: str) -> tuple[bool, float]:
        condition = self._conditions.get(key)
        return (condition.probing, condition.out_until or 0.0) if condition else (False, 0.0)

    def _leave_out(self, key: str, condition: _Condition, seconds: float) -> None:
        condition.out_until = self._clock() + seconds
        condition.probing = condition.resting = False
        if self._on_change:
            self._on_change(key, seconds)
