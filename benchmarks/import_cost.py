"""What an import costs: time and memory of a fresh process, less those of an empty one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.peers import OFFICIAL, python_with
from benchmarks.report import Figure, median

RUNS = 9
# A peer has a package of our name; from here Python would find ours first.
ELSEWHERE = "/"
STATEMENTS = ("import agentrun", "from agentrun import AgentRuntime, Sandbox", "from agentrun.emulator import Emulator")


def once(python: Path, statement: str) -> tuple[float, float]:
    """Milliseconds and MiB of one process that runs a statement."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [python, "-c", statement], cwd=ELSEWHERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{python} cannot run {statement!r}")
    return seconds * 1000, usage.ru_maxrss / 1024


def cost(python: Path, statement: str) -> tuple[float, float]:
    """Median extra milliseconds over an empty process, measured in pairs, and the median peak memory in MiB."""
    once(python, statement)
    times: list[float] = []
    sizes: list[float] = []
    for _ in range(RUNS):
        empty, _ = once(python, "pass")
        full, size = once(python, statement)
        times.append(full - empty)
        sizes.append(size)
    return median(times), median(sizes)


def run() -> list[Figure]:
    """The figures."""
    ours = Path(sys.executable)
    official = python_with(*OFFICIAL)
    peer_time, peer_size = cost(official, "import agentrun") if official else (0.0, 0.0)
    said = f"official client {peer_time:.0f} ms, {peer_size:.0f} MB" if official else "official client not installable"
    milliseconds, size = cost(ours, STATEMENTS[0])
    figures = [
        Figure("`import agentrun`", milliseconds, "ms", 60, said),
        Figure("`import agentrun`, peak memory", size, "MB", 35, said),
    ]
    for statement in STATEMENTS[1:]:
        milliseconds, size = cost(ours, statement)
        figures.append(Figure(f"`{statement}`", milliseconds, "ms", None, said, f"{size:.0f} MB"))
    return figures
