"""Names of what a start makes on the host: they begin with the emulator's process id, which tells leftovers apart."""

from __future__ import annotations

import os
from pathlib import Path


def own_name(rest: str) -> str:
    """A name that says that this process made it."""
    return f"{os.getpid()}-{rest}"


def is_leftover(name: str) -> bool:
    """Whether the process that made something of this name is gone."""
    pid = name.partition("-")[0]
    return pid.isdecimal() and not Path("/proc", pid).exists()
