"""Which endpoint a call goes to: by weight, exactly over time, or to the one of its session."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from agentrun._serving.openai_error import ApiError
from agentrun.gateway.call import Call
from agentrun.gateway.limits.concurrency import Places
from agentrun.gateway.plan import Plan, Target
from agentrun.gateway.routing.health import Health


@dataclass(frozen=True)
class Choice:
    """A target, and what the model is called there."""

    target: Target
    model: str


class Turns:
    """Smooth weighted round robin: in any row of calls each target gets its share, as evenly as whole calls allow."""

    def __init__(self) -> None:
        self._current: dict[str, int] = {}

    def next(self, targets: Sequence[Target]) -> Target:
        """The target whose turn it is among these."""
        current = self._current
        total = 0
        best, most = targets[0], -math.inf
        for target in targets:
            value = current.get(target.key, 0) + target.weight
            current[target.key] = value
            total += target.weight
            if value > most:
                best, most = target, value
        current[best.key] -= total
        return best


class Router:
    """Chooses targets, and remembers whose turn it is."""

    def __init__(self, health: Health, places: Places) -> None:
        self._health = health
        self._places = places
        self._turns: dict[tuple[str, str], Turns] = {}

    def candidates(self, plan: Plan, model: str) -> list[Target]:
        """The targets that may be asked for a model; raises ApiError (404) when the proxy has no such model."""
        known = not model or model == plan.name
        if plan.multi and not known:
            found = [target for target in plan.targets if target.serves(model)]
        else:
            known = known or any(target.serves(model) for target in plan.targets)
            found = list(plan.targets) if known else []
        if not found:
            names = ", ".join(map(repr, plan.models))
            raise ApiError(404, f"{plan.name} has no model {model!r}; it has {names}.", "model_not_found", "model")
        return [target for target in found if target.weight > 0]

    def choose(self, plan: Plan, call: Call, tried: Collection[str]) -> Choice | None:
        """Where a call goes next, given the keys of the targets that it has been to; None when there is nowhere.

        A target that is left out is asked only when there is no other one at all, and no fallback.
        """
        fit = self.another(plan, call, tried)
        if fit is not None:
            return fit
        for fallback in plan.fallbacks:
            if fallback.target.key not in tried and self._health.usable(fallback.target.key):
                return Choice(fallback.target, fallback.model)
        targets = [target for target in self.candidates(plan, call.model) if target.key not in tried]
        soonest = self._health.first_back(target.key for target in targets)
        return next((self._choice(target, call.model) for target in targets if target.key == soonest), None)

    def another(self, plan: Plan, call: Call, tried: Collection[str]) -> Choice | None:
        """Where a call can go as well, None when no other target of its model is fit."""
        targets = [target for target in self.candidates(plan, call.model) if target.key not in tried]
        fit = [target for target in targets if self._health.usable(target.key)]
        # Who has no room is asked only where nobody has; there the call waits.
        free = [target for target in fit if self._places.has_room(target)] or fit
        return self._choice(self._turn(plan, call, free), call.model) if free else None

    def _turn(self, plan: Plan, call: Call, fit: Sequence[Target]) -> Target:
        if len(fit) == 1:
            return fit[0]
        if plan.gateway.sticky_sessions and call.session:
            return _of_session(call.session, fit)
        # Endpoints that answer every model must not make the memory grow with the names that callers think of.
        model = call.model if call.model in plan.models else ""
        turns = self._turns.get((plan.key, model))
        if turns is None:
            turns = self._turns[plan.key, model] = Turns()
        return turns.next(fit)

    def _choice(self, target: Target, model: str) -> Choice:
        return Choice(target, target.name_of(model))


def _of_session(session: str, targets: Sequence[Target]) -> Target:
    """The target of a session: by rendezvous hashing, so that a target that goes or comes moves only its own share."""

    def score(target: Target) -> float:
        digest = hashlib.blake2b(f"{session}\n{target.key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        fraction = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
        return target.weight / -math.log(fraction)

    return max(targets, key=score)
