"""Which emulators this user runs: one file each, in a directory that nobody else can read."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agentrun._core.run_directory import RunDirectoryError as RunDirectoryError
from agentrun._core.run_directory import birth_of, run_directory


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
