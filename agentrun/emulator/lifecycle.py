"""The states that resources go through, as data, and the time that each takes.

The `instant` profile gives the answers that the service gives (CREATING first, READY at the next look) without its
waiting; `realistic` waits as the service does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentrun.emulator.clock import Clock, iso
from agentrun.emulator.store import GONE, Record, Store
from agentrun.emulator.wire.envelope import conflict


@dataclass(frozen=True)
class Step:
    """A verb's way: the state that its answer shows, and the one that follows."""

    through: str
    to: str


CREATE, UPDATE, DELETE = "create", "update", "delete"
_ASYNCHRONOUS = {CREATE: Step("CREATING", "READY"), UPDATE: Step("UPDATING", "READY"), DELETE: Step("DELETING", GONE)}
_AT_ONCE = {CREATE: Step("READY", "READY"), UPDATE: Step("READY", "READY"), DELETE: Step(GONE, GONE)}

LIFECYCLES: Mapping[str, Mapping[str, Step]] = {
    "AgentRuntime": _ASYNCHRONOUS,
    "AgentRuntimeEndpoint": _ASYNCHRONOUS,
    "AgentRuntimeVersion": _AT_ONCE,
    "Template": _ASYNCHRONOUS,
    "ModelService": _AT_ONCE,
    "ModelProxy": _ASYNCHRONOUS,
    "Credential": _AT_ONCE,
    "Tool": _ASYNCHRONOUS,
    "Toolset": _AT_ONCE,
    "KnowledgeBase": _AT_ONCE,
}

# Seconds from the state that the answer shows to the one that follows, as seen on the service.
PROFILES: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "instant": {},
    "realistic": {
        "AgentRuntime": {CREATE: 8.0, UPDATE: 6.0, DELETE: 3.0},
        "AgentRuntimeEndpoint": {CREATE: 3.0, UPDATE: 3.0, DELETE: 2.0},
        "Template": {CREATE: 5.0, UPDATE: 3.0, DELETE: 3.0},
        "ModelProxy": {CREATE: 4.0, UPDATE: 3.0, DELETE: 2.0},
        "Tool": {CREATE: 5.0, UPDATE: 3.0, DELETE: 2.0},
    },
}


# A resource that has become READY shows a later change than its creation, even when both happen at once. Two
# microseconds, because a time of today as a float is not exact enough for one.
_TICK = 2e-6


def durations(profile: str) -> Mapping[str, Mapping[str, float]]:
    """The seconds of a profile, by kind and verb; raises ValueError when there is no such profile."""
    if profile not in PROFILES:
        raise ValueError(f"profile {profile!r} is not one of {', '.join(PROFILES)}")
    return PROFILES[profile]


class Lifecycle:
    """Moves resources from state to state by the clock."""

    def __init__(self, store: Store, clock: Clock, profile: str = "instant") -> None:
        self._store = store
        self._clock = clock
        self._seconds = durations(profile)

    def duration(self, kind: str, verb: str) -> float:
        """Seconds that a verb takes in this profile."""
        return self._seconds.get(kind, {}).get(verb, 0.0)

    def begin(self, record: Record, verb: str) -> Record:
        """The record in the state that the answer to a verb shows, with the next one scheduled.

        Raises ServiceError (409) while the resource is being deleted.
        """
        if record.status == "DELETING":
            raise conflict(f"{record.kind} {record.name} is being deleted")
        step = LIFECYCLES[record.kind][verb]
        if step.through == step.to:
            return replace(record, status=step.through, next_status=None, due=None)
        due = self._clock.now() + self.duration(record.kind, verb)
        return replace(record, status=step.through, next_status=step.to, due=due)

    def settle(self) -> list[Record]:
        """Carry out every change that is due; returns the records that went."""
        due = self._store.due(self._clock.now())
        if not due:
            return []
        gone = [record for record in due if record.next_status == GONE]
        for record in gone:
            self._store.delete(record)
        for record in due:
            if record.next_status != GONE:
                self._store.save(self.arrived(record))
        self._store.settled()
        return gone

    def arrived(self, record: Record) -> Record:
        """The record in its next state, changed at the time it was due."""
        changed = iso(max(record.due or 0.0, self._clock.now()) + _TICK)
        moved = replace(record, status=record.next_status or record.status, next_status=None, due=None)
        return moved.with_document(lastUpdatedAt=changed) if "lastUpdatedAt" in record.document else moved
