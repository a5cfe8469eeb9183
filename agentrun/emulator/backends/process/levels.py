"""The ladder of isolation levels: what this machine allows, what is missing of the best, and how to get it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentrun.emulator.backends.base import BackendError, Isolation
from agentrun.emulator.backends.process import bubblewrap
from agentrun.emulator.launcher import landlock
from agentrun.emulator.launcher.plan import LANDLOCK, NAMESPACES, NONE

NO_NAMESPACES = ("namespaces", "network", "own uid on the host", "cgroup memory", "cgroup pids", "cgroup cpu")
UNCONFINED = Isolation("none", (*NO_NAMESPACES, "seccomp", "landlock"))


@dataclass(frozen=True)
class Ground:
    """What sandboxes can stand on here: the walls they put up, what that separates, why there is nothing better."""

    walls: str
    isolation: Isolation
    reason: str | None = None


def probe(controllers: Sequence[str]) -> Ground:
    """The best that this machine allows; BackendError with the fix when it is nothing at all."""
    try:
        bubblewrap.probe()
    except BackendError as error:
        if landlock.abi() == 0:
            raise
        return Ground(LANDLOCK, Isolation("landlock", (*NO_NAMESPACES, *landlock.missing())), str(error))
    return Ground(NAMESPACES, _with_namespaces(controllers))


def unconfined() -> Ground:
    """No walls at all."""
    return Ground(NONE, UNCONFINED)


def _with_namespaces(controllers: Sequence[str]) -> Isolation:
    reached = bubblewrap.isolation(controllers)
    missing = tuple(name for name in reached.missing if name != "seccomp")
    return Isolation(reached.level, (*missing, *landlock.missing()))
