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
        """The one of these targets that is to be probed the soonest."""
        return min(keys, key=lambda key: self._condition(key).out_until or 0.0, default=None)

    def begin(self, key: str) -> None:
        """A call goes to a target; to one that is out, it is the probe."""
        condition = self._conditions.get(key)
        if condition is not None and condition.out_until is not None:
            condition.probing = True

    def end(self, key: str) -> None:
        """A call to a target told nothing about it, because the caller went away."""
        condition = self._conditions.get(key)
        if condition is not None:
            condition.probing = False

    def succeeded(self, key: str) -> None:
        """A target has answered."""
        condition = self._conditions.get(key)
        if condition is None:
            return
        was_out = condition.out_until is not None
        del self._conditions[key]
        if was_out and self._on_change:
            self._on_change(key, 0.0)

    def failed(self, key: str, policy: OutlierEjection) -> None:
        """A target has not answered, or with an error of its own; it is out after some in a row, or a failed probe."""
        condition = self._condition(key)
        condition.failures += 1
        if condition.out_until is not None or condition.failures >= policy.consecutive_failures:
            self._leave_out(key, condition, policy.ejection_seconds)

    def rest(self, key: str, seconds: float) -> None:
        """A target has asked to be left alone."""
        self._leave_out(key, self._condition(key), seconds)

    def learn(self, ejected: Mapping[str, float]) -> None:
        """Take over what other gateways have found: targets that are out, and for how many seconds still."""
        for key, seconds in ejected.items():
            condition = self._condition(key)
            if condition.out_until is None:
                condition.out_until = self._clock() + seconds

    def _condition(self, key: str) -> _Condition:
        return self._conditions.setdefault(key, _Condition())

    def _leave_out(self, key: str, condition: _Condition, seconds: float) -> None:
        condition.out_until = self._clock() + seconds
        condition.probing = False
        if self._on_change:
            self._on_change(key, seconds)
