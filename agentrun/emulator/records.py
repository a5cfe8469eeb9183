"""Which emulators this user runs: one file each, in a directory that nobody else can read."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


class RunDirectoryError(Exception):
    """The directory of the records cannot be used; the text says what to do."""


@dataclass(frozen=True)
class RunningEmulator:
    """A running emulator: its process, where it answers, and the environment that leads there.

    `started` is in seconds since 1970. `birth` tells the process from a later one with the same id. `directory` holds
    what exists only while the emulator runs.
    """

    pid: int
    birth: str
    port: int
    url: str
    started: float
    state: str
    directory: str
    environment: dict[str, str] = field(repr=False)

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        return birth_of(self.pid) == self.birth

    @classmethod
    def from_json(cls, text: str) -> RunningEmulator:
        """The record that `to_json` wrote; raises ValueError or TypeError when it is none."""
        found: dict[str, Any] = json.loads(text)
        return cls(**found)

    def to_json(self) -> str:
        """The record on one line; its environment holds secrets."""
        return json.dumps(asdict(self))


def birth_of(pid: int) -> str | None:
    """When a process began, in clock ticks since the machine's start; None when it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended; whoever started it has not looked yet.
    return None if fields[0] in "ZX" else fields[19]


def run_directory() -> Path:
    """The directory of the records, made on first use; raises RunDirectoryError when it is not this user's alone."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
    own = runtime.is_dir() and runtime.stat().st_uid == os.getuid()
    directory = runtime / "agentrun" if own else Path(tempfile.gettempdir()) / f"agentrun-run-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RunDirectoryError(f"{directory} must be a directory that only you can read: remove it and try again")
    return directory


def log_file(port: int) -> Path:
    """Where an emulator in the background writes what it has to say."""
    return run_directory() / f"{port}.log"


def write(emulator: RunningEmulator) -> None:
    """Let every command find the emulator."""
    temporary = run_directory() / f"{emulator.port}.{os.getpid()}"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(emulator.to_json())
    temporary.replace(_file(emulator.port))


def remove(emulator: RunningEmulator) -> None:
    """Forget an emulator that ended, and remove what it left if it could not do so itself."""
    _file(emulator.port).unlink(missing_ok=True)
    leftover = Path(emulator.directory)
    if leftover.name.startswith("agentrun-") and leftover.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(leftover, ignore_errors=True)


def running() -> list[RunningEmulator]:
    """The emulators that run, oldest first; the records of those that died are removed."""
    return sorted(_alive(), key=lambda emulator: emulator.started)


def _alive() -> Iterator[RunningEmulator]:
    for file in run_directory().glob("*.json"):
        emulator = _read(file)
        if emulator is None:
            file.unlink(missing_ok=True)
        elif emulator.alive:
            yield emulator
        else:
            remove(emulator)


def _read(file: Path) -> RunningEmulator | None:
    try:
        return RunningEmulator.from_json(file.read_text())
    except (OSError, ValueError, TypeError):
        return None


def _file(port: int) -> Path:
    return run_directory() / f"{port}.json"
