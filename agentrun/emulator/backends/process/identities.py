"""User ids for running things: each gets its own, so that none can touch another's processes or files."""

from __future__ import annotations

import os
from pathlib import Path

from agentrun.emulator.backends.base import BackendError

FIRST = 200_000
LAST = 2**32 - 2
FALLBACK_PID_MAX = 4_194_304


class Identities:
    """Hands out user ids nobody else uses: every process id owns a block, so two emulators never share one."""

    def __init__(self) -> None:
        size = (LAST - FIRST) // _pid_max()
        self._next = FIRST + os.getpid() * size
        self._end = self._next + size
        self._free: list[int] = []

    def take(self) -> int:
        """A user id that nothing alive has."""
        if self._next < self._end:
            self._next += 1
            return self._next - 1
        if not self._free:
            raise BackendError("every user id of this emulator is in use: stop some sandboxes first")
        return self._free.pop(0)

    def give_back(self, uid: int) -> None:
        """Allow the id to be used again, once its processes and files are gone."""
        self._free.append(uid)


def _pid_max() -> int:
    try:
        return int(Path("/proc/sys/kernel/pid_max").read_text())
    except (OSError, ValueError):
        return FALLBACK_PID_MAX
