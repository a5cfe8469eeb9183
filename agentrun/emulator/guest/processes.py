"""Processes: commands that are waited for, and a view of everything that runs in the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import shutil
import signal
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrun.emulator.guest.capture import Capture
from agentrun.emulator.guest.errors import Forbidden, NotFound
from agentrun.emulator.guest.paths import check_folder

STATES = {"R": "running", "S": "sleeping", "D": "waiting", "T": "stopped", "t": "stopped", "Z": "zombie", "I": "idle"}
KILL_WAIT = 2.0
KILL_POLL = 0.005
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True)
class Seen:
    """One process as /proc shows it; times in clock ticks, memory in pages."""

    pid: int
    parent: int
    state: str
    cpu: int
    started: int
    memory: int
    threads: int


async def run_command(command: str, cwd: Path, timeout: float) -> dict[str, Any]:
    """Run a shell command to its end; after `timeout` seconds kill it and everything in its process group.

    What it leaves in the background goes on and is not waited for. Ended by a signal, the exit code is 128 plus its
    number.
    """
    check_folder(cwd)
    began = time.monotonic()
    output = Capture(), Capture()
    try:
        process = await _start(command, cwd, output)
        finished = await _finish(process, timeout)
        code = process.returncode or 0
        stdout, stderr = (capture.take() for capture in output)
    finally:
        for capture in output:
            capture.close()
    milliseconds = round((time.monotonic() - began) * 1000)
    result = {"exitCode": code if code >= 0 else 128 - code, "stdout": stdout, "stderr": stderr, "cwd": str(cwd)}
    return {
        "executionId": uuid.uuid4().hex,
        "status": "completed" if finished else "timeout",
        "result": {**result, "executionTimeMs": milliseconds},
        "executionTimeMs": milliseconds,
    }


def list_all() -> dict[str, Any]:
    """Everything that runs in the sandbox, apart from what the sandbox itself consists of."""
    items = [_item(process) for process in _visible().values()]
    return {"items": items, "total": len(items)}


def get(pid: int) -> dict[str, Any]:
    """One process in detail; NotFound when it does not run."""
    process = _visible().get(pid)
    if process is None:
        raise NotFound(f"process {pid} does not exist")
    usage = {
        "memoryBytes": process.memory * PAGE,
        "cpuSeconds": process.cpu / TICKS,
        "threads": process.threads,
    }
    details = {"working_dir": _working_folder(pid), "environment": _environment(pid), "resourceUsage": usage}
    return {**_item(process), **details}


async def kill(pid: int) -> dict[str, Any]:
    """End a process and its process group; NotFound when it does not run, Forbidden for the sandbox's own."""
    if pid in (os.getpid(), os.getppid(), 1):
        raise Forbidden(f"process {pid} is the sandbox itself: stop the sandbox instead")
    if pid not in _visible():
        raise NotFound(f"process {pid} does not exist")
    _signal(pid)
    stopped = await _gone_within(pid, KILL_WAIT)
    message = f"process {pid} was ended" if stopped else f"process {pid} was signalled but has not ended yet"
    return {"pid": str(pid), "stopped": stopped, "stopped_at": _timestamp(time.time()), "message": message}


async def _gone_within(pid: int, seconds: float) -> bool:
    for _ in range(round(seconds / KILL_POLL)):
        process = _visible().get(pid)
        if process is None or process.state == "Z":
            return True
        await asyncio.sleep(KILL_POLL)
    return False


async def _start(command: str, cwd: Path, output: tuple[Capture, Capture]) -> asyncio.subprocess.Process:
    shell = shutil.which("bash") or "/bin/sh"
    process = await asyncio.create_subprocess_exec(
        shell,
        "-c",
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output[0].writer,
        stderr=output[1].writer,
        cwd=cwd,
        start_new_session=True,
    )
    for capture in output:
        capture.close_writer()
    return process


async def _finish(process: asyncio.subprocess.Process, timeout: float) -> bool:
    """Wait for the end, and bring it about when the time is up or nobody waits any more."""
    ended = asyncio.ensure_future(process.wait())
    try:
        finished, _ = await asyncio.wait([ended], timeout=timeout)
    except asyncio.CancelledError:
        _kill_group(process.pid)
        raise
    if not finished:
        _kill_group(process.pid)
        await ended
    return bool(finished)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _signal(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def _visible() -> dict[int, Seen]:
    """The descendants of the guest's parent, which is the sandbox's first process, without it and the guest."""
    seen = _seen()
    guest, first = os.getpid(), os.getppid()
    inside = {first}
    for pid in sorted(seen, key=lambda pid: seen[pid].started):
        if _descends(pid, first, seen):
            inside.add(pid)
    return {pid: seen[pid] for pid in sorted(inside - {guest, first}) if pid in seen}


def _descends(pid: int, ancestor: int, seen: dict[int, Seen]) -> bool:
    while pid in seen and pid != ancestor:
        pid = seen[pid].parent
    return pid == ancestor


def _seen() -> dict[int, Seen]:
    found: dict[int, Seen] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                found[int(name)] = _parse_stat(int(name), Path("/proc", name, "stat").read_text())
    return found


def _parse_stat(pid: int, text: str) -> Seen:
    """Read /proc/PID/stat; the program's name in parentheses may itself have spaces and parentheses."""
    fields = text[text.rindex(")") + 2 :].split()
    return Seen(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        cpu=int(fields[11]) + int(fields[12]),
        threads=int(fields[17]),
        started=int(fields[19]),
        memory=int(fields[21]),
    )


def _item(process: Seen) -> dict[str, Any]:
    return {
        "processId": str(process.pid),
        "status": STATES.get(process.state, process.state),
        "command": _command(process.pid),
        "tag": None,
        "createdAt": _timestamp(_boot_time() + process.started / TICKS),
    }


def _command(pid: int) -> str:
    text = _read_proc(pid, "cmdline")
    return text.replace("\0", " ").strip() or _read_proc(pid, "comm").strip()


def _environment(pid: int) -> dict[str, str]:
    pairs = (line.partition("=") for line in _read_proc(pid, "environ").split("\0") if "=" in line)
    return {name: value for name, _, value in pairs}


def _working_folder(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def _read_proc(pid: int, name: str) -> str:
    try:
        return Path("/proc", str(pid), name).read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _boot_time() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _timestamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()
