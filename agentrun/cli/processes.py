"""Starting and stopping the emulator's own process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import IO

from agentrun._core.run_directory import run_directory
from agentrun.cli.output import CommandError, tell
from agentrun.emulator import records
from agentrun.emulator.choices import Choices
from agentrun.emulator.records import RunningEmulator

STOP_SECONDS = 10.0
_POLL_SECONDS = 0.005


@dataclass(frozen=True)
class Started:
    """An emulator that this process started."""

    process: subprocess.Popen[str]
    record: RunningEmulator


def check_free(port: int) -> None:
    """Raise CommandError when this user runs an emulator on the port."""
    for emulator in records.running():
        if emulator.port == port:
            raise CommandError(
                f"an emulator runs at {emulator.url} already (pid {emulator.pid}): use it, "
                f"stop it with `agentrun emulator down --port {port}`, or choose another --port"
            )


@contextlib.contextmanager
def own_emulator(choices: Choices) -> Generator[Started]:
    """An emulator for the time of the block; it also stops when this process is killed, because its stdin ends."""
    process = _spawn(choices, ["--until-stdin-closes"], stdin=subprocess.PIPE)
    try:
        yield Started(process, _record(process))
    finally:
        _close(process)


def start_in_background(choices: Choices) -> RunningEmulator:
    """Start an emulator that stays, and return once it answers; raises CommandError with its reason."""
    starting = run_directory() / f"starting-{os.getpid()}.log"
    try:
        with starting.open("w") as log:
            record = _record(_spawn(choices, [], stdin=subprocess.DEVNULL, stderr=log))
    except CommandError:
        reason = starting.read_text().strip().rpartition("\n")[2].removeprefix("agentrun: ")
        starting.unlink()
        raise CommandError(reason or "the emulator ended while it started") from None
    starting.replace(records.log_file(record.port))
    return record


def stop(emulator: RunningEmulator, patience: float = STOP_SECONDS) -> str:
    """Stop an emulator, if need be by force after some seconds, and return what it took."""
    began = time.monotonic()
    _signal(emulator, signal.SIGTERM)
    if _ended(emulator, patience):
        taken = f"stopped in {(time.monotonic() - began) * 1000:.0f} ms"
    else:
        _signal(emulator, signal.SIGKILL)
        _ended(emulator, STOP_SECONDS)
        taken = f"killed, because it did not stop within {patience:g} s"
    records.remove(emulator)
    records.log_file(emulator.port).unlink(missing_ok=True)
    return taken


def _command() -> list[str]:
    # Without -P, a file in the working directory could stand in for a module of the emulator's.
    safe_path = ["-P"] if sys.version_info >= (3, 11) else []
    return [sys.executable, *safe_path, "-m", "agentrun.emulator"]


def _spawn(
    choices: Choices, arguments: list[str], *, stdin: int, stderr: IO[str] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*_command(), *choices.arguments(), *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, **choices.variables()},
        # In a group of its own, so that a Ctrl-C reaches it through us and not before the command has ended.
        start_new_session=True,
    )


def _record(process: subprocess.Popen[str]) -> RunningEmulator:
    """What the emulator says once it answers; raises CommandError when it ends instead."""
    assert process.stdout is not None
    with process.stdout as stdout:
        line = stdout.readline()
    if not line:
        # It has written its reason to stderr, which the user or a log has.
        raise CommandError("", process.wait() or 1)
    return RunningEmulator.from_json(line)


def _close(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as reason:
        impatient = isinstance(reason, KeyboardInterrupt)
        tell("killed" if impatient else f"killed, because it did not stop within {STOP_SECONDS:g} s")
        process.kill()
        process.wait()
        # To look at the records removes what it could not put away itself.
        records.running()


def _signal(emulator: RunningEmulator, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if emulator.alive:
            os.kill(emulator.pid, number)


def _ended(emulator: RunningEmulator, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while emulator.alive and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return not emulator.alive
