"""Where this user's running programs are written down, and how one of them is told from a later one."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


class RunDirectoryError(Exception):
    """The directory of the records cannot be used; the text says what to do."""


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
