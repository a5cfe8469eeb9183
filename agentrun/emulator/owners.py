"""Processes of this machine that own something: told at once when one of them has ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from agentrun._core.run_directory import birth_of


class OwnerGoneError(Exception):
    """The process does not run; the text names it."""


@dataclass(frozen=True)
class Owner:
    """A process: its id, and when it began in clock ticks since the machine's start, which tells it from later ones."""

    pid: int
    start_time: str

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return birth_of(self.pid) == self.start_time

    def __str__(self) -> str:
        return f"process {self.pid}"


@dataclass
class _Watch:
    descriptor: int | None
    holders: int = 1


class Owners:
    """Watches the owners, each once however much it owns; `ended` is called when one is gone."""

    def __init__(self, ended: Callable[[Owner], None]) -> None:
        self._ended = ended
        self._watches: dict[Owner, _Watch] = {}

    def find(self, pid: int, start_time: str | None) -> Owner:
        """The process as an owner; without a start time, the one that has the id now. Raises OwnerGoneError."""
        born = birth_of(pid)
        if born is None or (start_time is not None and born != start_time):
            raise OwnerGoneError(f"process {pid} does not run, or is another one than when it was named")
        return Owner(pid, born)

    def watch(self, owner: Owner) -> None:
        """Watch a process until `release` was called as often as this; must be called inside the event loop."""
        known = self._watches.get(owner)
        if known is not None:
            known.holders += 1
            return
        self._watches[owner] = _Watch(self._notify_at_end(owner))

    def release(self, owner: Owner) -> None:
        """Stop watching a process for one holder."""
        watch = self._watches.get(owner)
        if watch is None:
            return
        watch.holders -= 1
        if not watch.holders:
            del self._watches[owner]
            _close(watch)

    def check(self) -> None:
        """Look after those that could only be looked at, which costs nothing while there are none."""
        for owner in [owner for owner, watch in self._watches.items() if watch.descriptor is None]:
            if not owner.alive:
                self._ended(owner)

    def _notify_at_end(self, owner: Owner) -> int | None:
        """Let the event loop tell the end of a process; None where the system cannot, or it has ended already."""
        try:
            descriptor = os.pidfd_open(owner.pid)
        except (AttributeError, OSError):
            return None
        if not owner.alive:
            os.close(descriptor)
            return None
        asyncio.get_running_loop().add_reader(descriptor, self._tell, owner, descriptor)
        return descriptor

    def _tell(self, owner: Owner, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        self._ended(owner)


def _close(watch: _Watch) -> None:
    if watch.descriptor is None:
        return
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop().remove_reader(watch.descriptor)
    os.close(watch.descriptor)
