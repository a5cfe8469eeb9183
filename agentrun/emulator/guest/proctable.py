"""What runs in the sandbox, as /proc shows it."""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATES = {"R": "running", "S": "sleeping", "D": "waiting", "T": "stopped", "t": "stopped", "Z": "zombie", "I": "idle"}
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")
FIRST = 1


@dataclass(frozen=True)
class Seen:
    """One process; times in clock ticks, memory in pages."""

    pid: int
    parent: int
    session: int
    state: str
    cpu: int
    started: int
    memory: int
    threads: int

    @property
    def ended(self) -> bool:
        """Whether it only waits for its parent to notice."""
        return self.state in ("Z", "X")


def visible() -> dict[int, Seen]:
    """Everything that runs in the sandbox apart from the agent.

    In a pid namespace of its own that is everything there is, also what was put into it from outside; elsewhere it is
    what descends from the agent, to whom orphans go.
    """
    agent, seen = os.getpid(), _seen()
    if agent == FIRST:
        return {pid: process for pid, process in seen.items() if pid != agent}
    return {pid: process for pid, process in seen.items() if pid != agent and _descends(process, agent, seen)}


def find(pid: int) -> Seen | None:
    """The process, if it runs in the sandbox."""
    return visible().get(pid)


def runs(pid: int) -> bool:
    """Whether a process has not ended."""
    try:
        return not _parse_stat(pid, Path("/proc", str(pid), "stat").read_bytes()).ended
    except (OSError, ValueError):
        return False


def is_agent(pid: int) -> bool:
    """Whether a process is the sandbox itself."""
    return pid in (FIRST, os.getpid(), os.getppid())


def members(session: int) -> list[int]:
    """The processes of a session; whatever a command starts is in the command's, unless it takes care not to be."""
    return [pid for pid, process in visible().items() if process.session == session and not process.ended]


def item(process: Seen) -> dict[str, Any]:
    """As it travels in a list."""
    return {
        "processId": str(process.pid),
        "status": STATES.get(process.state, process.state),
        "command": _command(process.pid),
        "tag": None,
        "createdAt": timestamp(_boot_time() + process.started / TICKS),
    }


def details(process: Seen) -> dict[str, Any]:
    """As it travels alone."""
    usage = {"memoryBytes": process.memory * PAGE, "cpuSeconds": process.cpu / TICKS, "threads": process.threads}
    environment = _environment(process.pid)
    return {"working_dir": _working_folder(process.pid), "environment": environment, "resourceUsage": usage}


def timestamp(seconds: float) -> str:
    """A time since the epoch as text."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()


def now() -> str:
    """The time as text."""
    return timestamp(time.time())


def _descends(process: Seen, ancestor: int, seen: dict[int, Seen]) -> bool:
    # What was read is not of one moment, so parents might go round in a circle.
    for _ in seen:
        if process.parent == ancestor:
            return True
        if process.parent not in seen:
            return False
        process = seen[process.parent]
    return False


def _seen() -> dict[int, Seen]:
    found: dict[int, Seen] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                found[int(name)] = _parse_stat(int(name), Path("/proc", name, "stat").read_bytes())
    return dict(sorted(found.items()))


def _parse_stat(pid: int, data: bytes) -> Seen:
    """Read /proc/PID/stat; the program's name in parentheses may itself have spaces and parentheses."""
    fields = data[data.rindex(b")") + 2 :].decode().split()
    return Seen(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        cpu=int(fields[11]) + int(fields[12]),
        threads=int(fields[17]),
        started=int(fields[19]),
        memory=int(fields[21]),
    )


def _command(pid: int) -> str:
    text = _read(pid, "cmdline")
    return text.replace("\0", " ").strip() or _read(pid, "comm").strip()


def _environment(pid: int) -> dict[str, str]:
    pairs = (line.partition("=") for line in _read(pid, "environ").split("\0") if "=" in line)
    return {name: value for name, _, value in pairs}


def _working_folder(pid: int) -> str | None:
    try:
        return os.readlink(os.fsencode(f"/proc/{pid}/cwd")).decode("utf-8", "replace")
    except OSError:
        return None


def _read(pid: int, name: str) -> str:
    try:
        return Path("/proc", str(pid), name).read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _boot_time() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
