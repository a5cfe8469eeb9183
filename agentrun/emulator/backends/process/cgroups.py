"""Control groups: limits for everything a sandbox runs together, on cgroup v1 and v2, wherever they are writable."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from agentrun.emulator.backends.base import Limits
from agentrun.emulator.backends.process.names import is_leftover

ROOT = Path("/sys/fs/cgroup")
PREFIX = "agentrun-"
CONTROLLERS = ("memory", "pids", "cpu")
FREEZER = "freezer"
FREEZE_ROUNDS = 200
MEBIBYTE = 1024 * 1024
CPU_PERIOD = 100_000
CORES = os.cpu_count() or 1
REMOVE_TIMEOUT = 2.0


@dataclass(frozen=True)
class Cgroup:
    """The folders of one running thing: one per controller on v1, a single one on v2.

    `freezer` is where its processes are frozen: on v1 a folder of its own, which a process that has not come through
    its door enters when it is frozen.
    """

    folders: tuple[Path, ...]
    freezer: Path | None = None

    def freeze(self, frozen: bool) -> bool:
        """Freeze or thaw everything inside; False when no freezer is there."""
        if self.freezer is None:
            return False
        if self.freezer in self.folders:
            return _write(self.freezer / "cgroup.freeze", str(int(frozen)))
        state = self.freezer / "freezer.state"
        if not frozen:
            return _write(state, "THAWED")
        return _write(state, "FROZEN") and self._enter_freezer() and _is_frozen(state)

    @property
    def entrances(self) -> list[Path]:
        """The files that take the id of a process which shall be inside."""
        return [folder / "cgroup.procs" for folder in self.folders]

    @property
    def doors(self) -> list[Path]:
        """The files through which a process of one thread enters by itself, writing 0.

        On v1 that is `tasks`: for the writing thread alone the kernel skips a lock whose taking waits for all
        processors, some ten milliseconds.
        """
        others = [self.freezer] if self.freezer and self.freezer not in self.folders else []
        names = ("tasks", "cgroup.procs")
        return [
            next(folder / name for name in names if (folder / name).exists()) for folder in (*self.folders, *others)
        ]

    def remove(self) -> None:
        """Remove the folders; the kernel lets go of a group a moment after its last process."""
        deadline = time.monotonic() + REMOVE_TIMEOUT
        for folder in {*self.folders, *([self.freezer] if self.freezer else [])}:
            while not _removed(folder) and time.monotonic() < deadline:
                time.sleep(0.002)

    def _enter_freezer(self) -> bool:
        """Move every process in, again and again until no new one was made meanwhile by one that is not frozen yet."""
        assert self.freezer is not None
        for _ in range(FREEZE_ROUNDS):
            inside = _members(self.freezer)
            outside = [pid for folder in self.folders for pid in _members(folder) if pid not in inside]
            if not outside:
                return True
            for pid in outside:
                _write(self.freezer / "cgroup.procs", pid)
        return False


class Cgroups:
    """The place on this machine where groups can be made; `controllers` says which limits it really offers."""

    def __init__(self) -> None:
        self.version = 2 if (ROOT / "cgroup.controllers").exists() else 1
        self.parents = _find_v2() if self.version == 2 else _find_v1()
        self.controllers = tuple(name for name in self.parents if name in CONTROLLERS)

    def sweep(self) -> None:
        """Remove the groups that killed emulators left."""
        for parent in set(self.parents.values()):
            for folder in parent.glob(f"{PREFIX}*"):
                if is_leftover(folder.name.removeprefix(PREFIX)):
                    _removed(folder)

    def create(self, name: str, limits: Limits) -> Cgroup:
        """A group with these limits; without any controller it has no folders and limits nothing."""
        folders = {controller: parent / f"{PREFIX}{name}" for controller, parent in self.parents.items()}
        if limits.cpu >= CORES:
            folders.pop("cpu", None) if self.version == 1 else None  # As much as there is needs no limit.
        for folder in set(folders.values()):
            folder.mkdir(exist_ok=True)
        for controller, folder in folders.items():
            for file, value in _settings(self.version, controller, limits):
                _write(folder / file, value)
        freezer = folders.pop(FREEZER, None) if self.version == 1 else next(iter(folders.values()), None)
        freezer = freezer if folders else None  # Its members are found through the others.
        return Cgroup(tuple(sorted(set(folders.values()))), freezer)


def _settings(version: int, controller: str, limits: Limits) -> list[tuple[str, str]]:
    memory, quota = str(limits.memory * MEBIBYTE), int(limits.cpu * CPU_PERIOD)
    if controller == FREEZER:
        return []
    if controller == "pids":
        return [("pids.max", str(limits.processes))]
    if controller == "memory" and version == 1:
        return [("memory.limit_in_bytes", memory), ("memory.memsw.limit_in_bytes", memory)]
    if controller == "memory":
        return [("memory.max", memory), ("memory.swap.max", "0")]
    if version == 1:
        return [("cpu.cfs_period_us", str(CPU_PERIOD)), ("cpu.cfs_quota_us", str(quota))]
    return [("cpu.max", f"{quota} {CPU_PERIOD}")]


def _find_v1() -> dict[str, Path]:
    """The own group of every controller we may make children in."""
    parents: dict[str, Path] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for controller in set(names.split(",")) & {*CONTROLLERS, FREEZER}:
            own = ROOT / controller / path.lstrip("/")
            parent = own if own.is_dir() else ROOT / controller
            if os.access(parent, os.W_OK) and (parent / "cgroup.procs").exists():
                parents[controller] = parent
    return parents


def _find_v2() -> dict[str, Path]:
    """The root of the hierarchy: any other group that has processes may not have children with limits."""
    if not os.access(ROOT, os.W_OK):
        return {}
    for controller in CONTROLLERS:
        _write(ROOT / "cgroup.subtree_control", f"+{controller}")
    try:
        offered = (ROOT / "cgroup.subtree_control").read_text().split()
    except OSError:
        return {}
    return {controller: ROOT for controller in CONTROLLERS if controller in offered}


def _is_frozen(file: Path) -> bool:
    """Wait until it is; freezing may take several requests while processes are being made."""
    for attempt in range(FREEZE_ROUNDS):
        if file.read_text().strip() == "FROZEN":
            return True
        if attempt:
            time.sleep(0.0005)
        _write(file, "FROZEN")
    return False


def _members(folder: Path) -> set[str]:
    try:
        return set((folder / "cgroup.procs").read_text().split())
    except OSError:
        return set()


def _write(file: Path, value: str) -> bool:
    try:
        file.write_text(value)
    except OSError:
        return False
    return True


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
