"""Places for sandboxes: a user id, the files that name it and cgroups with limits, made once and used again and again.

Making cgroups costs more than forking a small process, and whatever a sandbox leaves goes with its last process; so
what the host keeps for it outlives it, and the next sandbox with the same limits gets it.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from agentrun.emulator.backends.base import Limits
from agentrun.emulator.backends.process import bubblewrap
from agentrun.emulator.backends.process.cgroups import Cgroup, Cgroups
from agentrun.emulator.backends.process.identities import Identities
from agentrun.emulator.backends.process.names import own_name

# Of this process, in which there may be several emulators: a cgroup's name must belong to one of them alone.
_NUMBERS = itertools.count(1)
# More than this many unused ones of a kind are not kept.
MOST_IDLE = 64


@dataclass
class Slot:
    """One place; `doors` are its cgroups' open files for entering."""

    limits: Limits
    user: int | None
    identity: Path | None
    cgroup: Cgroup
    doors: list[int] = field(default_factory=list[int])

    def close(self) -> None:
        """Remove what the host keeps for it."""
        while self.doors:
            os.close(self.doors.pop())
        self.cgroup.remove()


class Slots:
    """All places; `folder` takes the files that name users."""

    def __init__(self, folder: Path, identities: Identities | None, cgroups: Cgroups | None) -> None:
        self._folder = folder
        self._identities = identities
        self._cgroups = cgroups
        self._idle: defaultdict[Limits, list[Slot]] = defaultdict(list)

    def take(self, limits: Limits) -> Slot:
        """A place that nobody has."""
        idle = self._idle[limits]
        return idle.pop() if idle else self._make(limits)

    def give_back(self, slot: Slot) -> None:
        """Keep a place for the next one; no process may be left in it."""
        slot.cgroup.freeze(False)  # A launcher that died may have left it frozen.
        idle = self._idle[slot.limits]
        if len(idle) < MOST_IDLE:
            idle.append(slot)
        else:
            self._remove(slot)

    def close(self) -> None:
        """Remove all that nobody has."""
        for slot in [slot for idle in self._idle.values() for slot in idle]:
            self._remove(slot)
        self._idle.clear()

    def _make(self, limits: Limits) -> Slot:
        user = self._identities.take() if self._identities else None
        identity = self._identity(user) if user is not None else None
        name = own_name(f"s{next(_NUMBERS):x}")
        cgroup = self._cgroups.create(name, limits) if self._cgroups else Cgroup(())
        doors = [os.open(file, os.O_WRONLY | os.O_CLOEXEC) for file in cgroup.doors]
        return Slot(limits, user, identity, cgroup, doors)

    def _identity(self, user: int) -> Path:
        folder = self._folder / str(user)
        if not folder.exists():
            bubblewrap.write_names(folder, user)
        return folder

    def _remove(self, slot: Slot) -> None:
        slot.close()
        if self._identities and slot.user is not None:
            self._identities.give_back(slot.user)
