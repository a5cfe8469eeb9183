"""Freezing a process tree with signals, for machines without a cgroup freezer."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

ROUNDS = 10


def stop_tree(root: int) -> None:
    """Stop a process and its descendants; parents first, and again until no new ones appear."""
    stopped: set[int] = set()
    for _ in range(ROUNDS):
        found = [pid for pid in tree(root) if pid not in stopped]
        if not found:
            return
        _signal_all(found, signal.SIGSTOP)
        stopped.update(found)


def continue_tree(root: int) -> None:
    """Let a process and its descendants go on; children first, so that no parent sees them stopped."""
    _signal_all(reversed(tree(root)), signal.SIGCONT)


def tree(root: int) -> list[int]:
    """The process and all its descendants, parents before children."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = Path("/proc", name, "stat").read_text()
                children.setdefault(int(stat[stat.rindex(")") + 2 :].split()[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
