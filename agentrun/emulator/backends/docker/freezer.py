"""Freezing a container through its own cgroup: thirty times quicker than asking the engine to."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from agentrun.emulator.backends.base import BackendError

ROOT = Path("/sys/fs/cgroup")
ROUNDS = 500
ROUND_SECONDS = 0.001


@dataclass(frozen=True)
class Freezer:
    """The freezer files of one container: what to write, and what then is to be read where."""

    control: Path
    words: tuple[str, str]
    report: Path
    reports: tuple[str, str]

    async def set(self, frozen: bool) -> None:
        """Freeze or thaw every process; BackendError when they do not all follow."""
        for _ in range(ROUNDS):
            self.write(frozen)
            if self.reports[frozen] in _read(self.report).split("\n"):
                return
            await asyncio.sleep(ROUND_SECONDS)
        raise BackendError("the processes of the sandbox cannot be frozen" if frozen else "they cannot be thawed")

    def write(self, frozen: bool) -> None:
        """Ask the kernel; it may take a moment until all have followed."""
        with contextlib.suppress(OSError):
            self.control.write_text(self.words[frozen])


def find_freezer(pid: int, container: str) -> Freezer | None:
    """The freezer of the container whose first process this is; None when we may not write it."""
    for line in _read(Path("/proc", str(pid), "cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if container not in path:
            continue
        found = _version_1(path) if controllers == "freezer" else _version_2(path) if not controllers else None
        if found and os.access(found.control, os.W_OK):
            return found
    return None


def _version_1(path: str) -> Freezer:
    file = ROOT / "freezer" / path.lstrip("/") / "freezer.state"
    return Freezer(file, ("THAWED", "FROZEN"), file, ("THAWED", "FROZEN"))


def _version_2(path: str) -> Freezer:
    folder = ROOT / path.lstrip("/")
    return Freezer(folder / "cgroup.freeze", ("0", "1"), folder / "cgroup.events", ("frozen 0", "frozen 1"))


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
