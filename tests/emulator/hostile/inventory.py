"""What an emulator has on its machine at one moment, to compare before and after an attack."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.emulator.hostile import containers
from tests.emulator.hostile.containers import Contained
from tests.emulator.hostile.grounds import Ground

SHARED_FOLDERS = ("/tmp", "/dev/shm", "/var/tmp")
LOWEST_SANDBOX_USER = 200_000
# Connections and files that are closed a moment later, or kept by the client's pool.
FEW_DESCRIPTORS = 12
# Of a sandbox in a container: its output, its line, its way out and connections to it.
DESCRIPTORS_OF_ONE = 6
POLL = 0.05
ENGINE_FOLDERS = ("/var/lib/docker/", "/run/docker/")


# Folders of a backend that serve all of its sandboxes, one after the other: who they are, and whom they trust.
KEPT = ("users", "trust")


@dataclass(frozen=True)
class Inventory:
    """Processes below the emulator, its open descriptors, what lies in its folders, and who is in its cgroups."""

    processes: frozenset[tuple[int, float]]
    namespaces: frozenset[str]
    descriptors: int
    entries: frozenset[str]
    members: frozenset[str]
    strays: frozenset[str]
    mounts: int
    contained: Contained

    def leftovers(self, later: Inventory) -> list[str]:
        """What is there later and was not before, in words."""
        found: list[str] = []
        # The neighbour, who executes as well, has other processes than before, but not more.
        if len(later.processes) > len(self.processes):
            found += [f"process {pid}" for pid, _ in later.processes - self.processes]
        if len(later.namespaces) > len(self.namespaces):
            found += [f"namespace {name}" for name in later.namespaces - self.namespaces]
        found += [f"entry {name}" for name in later.entries - self.entries]
        if len(later.members) > len(self.members):
            found += [f"cgroup member {name}" for name in later.members - self.members]
        found += [f"file {name}" for name in later.strays - self.strays]
        if later.mounts > self.mounts:
            found.append(f"{later.mounts - self.mounts} mounts")
        found += [f"container {name}" for name in later.contained.containers - self.contained.containers]
        found += [f"volume {name}" for name in later.contained.volumes - self.contained.volumes]
        more_waiting = max(0, len(later.contained.waiting) - len(self.contained.waiting))
        if later.descriptors > self.descriptors + FEW_DESCRIPTORS + more_waiting * DESCRIPTORS_OF_ONE:
            found.append(f"{later.descriptors - self.descriptors} descriptors of the emulator")
        return found


def take(ground: Ground, bystander: str = "") -> Inventory:
    """The present state of an emulator; processes whose environment names `bystander` are left out."""
    processes = {found for found in _descendants(ground.pid) if not _names(found[0], bystander)}
    contained = containers.of(ground.pid) if ground.name == "docker" else Contained()
    return Inventory(
        frozenset(processes),
        frozenset(filter(None, (_namespace(pid) for pid, _ in processes))),
        len(_listed(f"/proc/{ground.pid}/fd")),
        frozenset(_entries(ground.directory, contained.waiting)),
        frozenset(_members(ground.pid)),
        frozenset(_strays()),
        _mounts(ground.pid),
        contained,
    )


def leftovers_after(ground: Ground, before: Inventory, bystander: str, seconds: float) -> list[str]:
    """What stays; it is given some seconds to go away."""
    found: list[str] = []

    def clean() -> bool:
        found[:] = before.leftovers(take(ground, bystander))
        return not found

    eventually(clean, seconds)
    return found


def eventually(check: Callable[[], bool], seconds: float) -> bool:
    """Whether the check comes true in time."""
    deadline = time.monotonic() + seconds
    while not (done := check()) and time.monotonic() < deadline:
        time.sleep(POLL)
    return done


def alive_in(namespace: str) -> list[int]:
    """The processes of this machine in a process id namespace such as `pid:[4026531836]`."""
    return [int(name) for name in filter(str.isdigit, _listed("/proc")) if _namespace(int(name)) == namespace]


def _descendants(pid: int) -> set[tuple[int, float]]:
    found: set[tuple[int, float]] = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.add((child.pid, child.create_time()))
    return found


def _names(pid: int, word: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(word) and word.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False


def _namespace(pid: int) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")
    return ""


def _entries(directory: Path, spare: Collection[str]) -> list[str]:
    """Everything below the emulator's directory but what is kept for the next sandbox.

    That is the files that name users, and folders of these names.
    """
    found: list[str] = []
    waiting = [str(directory)]
    # os.walk recurses before Python 3.12, and trees in here may be too deep for that.
    while waiting:
        folder = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name in spare:
                    continue
                found += [entry.path] if not entry.name.isdigit() else []
                waiting += [entry.path] if entry.is_dir(follow_symlinks=False) and entry.name not in KEPT else []
    return found


def _members(pid: int) -> list[str]:
    found: list[str] = []
    for folder, folders, _ in os.walk("/sys/fs/cgroup"):
        for name in folders:
            if name.startswith(f"agentrun-{pid}-"):
                with contextlib.suppress(OSError):
                    found += [f"{name}/{line}" for line in Path(folder, name, "cgroup.procs").read_text().split()]
    return found


def _strays() -> list[str]:
    """Files of a sandbox's user in the folders that everybody may write to."""
    found: list[str] = []
    for folder in SHARED_FOLDERS:
        for name in _listed(folder):
            with contextlib.suppress(OSError):
                if os.lstat(f"{folder}/{name}").st_uid >= LOWEST_SANDBOX_USER:
                    found.append(f"{folder}/{name}")
    return found


def _mounts(pid: int) -> int:
    """How many it sees but those of the container engine, which others use as well."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        return sum(not line.split()[4].startswith(ENGINE_FOLDERS) for line in lines)
    return 0


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
