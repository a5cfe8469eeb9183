"""What a killed emulator leaves behind is gone after the next one has started."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agentrun.emulator import Emulator


def dead_process() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def waiting_in(folder: Path) -> subprocess.Popen[bytes]:
    """A process whose command line names a folder."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", f"{folder}/run"])


def test_folders_and_processes_of_a_dead_emulator_are_removed() -> None:
    left = Path(tempfile.mkdtemp(prefix=f"agentrun-{dead_process()}-"))
    with waiting_in(left) as stuck, Emulator(port=None):
        assert not left.exists()
        assert stuck.wait(5) != 0


def test_those_of_a_living_emulator_stay() -> None:
    kept = Path(tempfile.mkdtemp(prefix=f"agentrun-{os.getpid()}-"))
    with waiting_in(kept) as alive:
        with Emulator(port=None):
            time.sleep(0.05)
            assert kept.exists()
            assert alive.poll() is None
        alive.kill()
    kept.rmdir()
