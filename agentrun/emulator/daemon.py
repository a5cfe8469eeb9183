"""The emulator as a process of its own: it says on one line where it is, and stops when it is told to."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from types import FrameType

from agentrun._core.run_directory import RunDirectoryError, birth_of
from agentrun.emulator import records
from agentrun.emulator.backends.base import NetworkPolicy
from agentrun.emulator.choices import ChoiceError, Choices, add_choices, read_choices
from agentrun.emulator.control.network_policies import read_destinations
from agentrun.emulator.lifecycle import PROFILES
from agentrun.emulator.recordings import Chosen, RecordTo, ReplayFrom
from agentrun.emulator.script_file import ScriptFileError, load_script
from agentrun.emulator.server import Emulator, EmulatorError
from agentrun.emulator.settings import Settings
from agentrun.emulator.store import StoreError

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STDIN, _STDOUT = 0, 1
_EXPECTED = (EmulatorError, StoreError, ScriptFileError, ChoiceError, RunDirectoryError)


class StopRequest:
    """Waits for the first signal that asks to stop; a second one ends the process at once."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def __enter__(self) -> StopRequest:
        signal.set_wakeup_fd(self._write)
        for number in _STOPS:
            signal.signal(number, self._told)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)

    def wait(self, *descriptors: int) -> None:
        """Return at the signal, or when one of the descriptors comes to its end."""
        select.select([self._read, *descriptors], [], [])

    def _told(self, _number: int, _frame: FrameType | None) -> None:
        # The wakeup descriptor carries the news; what is left to do is to let the next signal through.
        for number in _STOPS:
            signal.signal(number, signal.SIG_DFL)


def settings_of(choices: Choices) -> Settings:
    """The settings that the choices mean; raises ChoiceError and ScriptFileError."""
    if choices.profile not in PROFILES:
        raise ChoiceError(f"there is no profile {choices.profile!r}: choose one of {', '.join(PROFILES)}")
    return Settings(
        host=choices.host,
        port=choices.port,
        state=choices.state,
        access_keys=choices.access_keys(),
        verify_signatures=not choices.no_auth,
        strict=not choices.loose,
        profile=choices.profile,
        backend=choices.backend,
        allow_unconfined=choices.allow_unconfined,
        tls=choices.tls,
        allowed_hosts=choices.allow_host,
        script=load_script(choices.script) if choices.script else None,
        mount_roots=tuple(_folder(root) for root in choices.mount_root),
        network=_network(choices.allow_network),
        trusted_ca=choices.trusted_ca,
        recording=_recording(choices),
    )


def _recording(choices: Choices) -> Chosen:
    if choices.record:
        key = choices.provider_key or None
        models, redact = choices.record_model, choices.redact
        return RecordTo(choices.record, choices.record_url, key, models, redact, overwrite=choices.overwrite)
    return ReplayFrom(choices.replay, choices.speed, repeat=not choices.no_repeat) if choices.replay else None


def _folder(root: str) -> Path:
    folder = Path(root).resolve()
    if not folder.is_dir():
        raise ChoiceError(f"--mount-root {root} is not a folder")
    return folder


def _network(destinations: Sequence[str]) -> NetworkPolicy | None:
    try:
        return read_destinations(tuple(destinations))
    except ValueError as error:
        raise ChoiceError(f"--allow-network: {error}") from error


@contextlib.contextmanager
def recorded(emulator: Emulator) -> Generator[records.RunningEmulator]:
    """The record of an emulator, which every command finds while the block lasts."""
    record = records.RunningEmulator(
        pid=os.getpid(),
        birth=birth_of(os.getpid()) or "",
        port=emulator.port,
        url=emulator.url,
        started=time.time(),
        state=str(emulator.settings.state or "in memory"),
        directory=str(emulator.platform.directory),
        environment=emulator.environment(),
    )
    records.write(record)
    try:
        yield record
    finally:
        records.remove(record)


def serve(choices: Choices, *lifelines: int) -> None:
    """Run an emulator until a signal, or the end of a lifeline; its record goes to stdout as one line of JSON."""
    _raise_limit()
    with StopRequest() as stop, Emulator(settings=settings_of(choices)) as emulator, recorded(emulator) as record:
        # What was loaded stays to the end; to look through it again and again would only cost.
        gc.freeze()
        _announce(record)
        stop.wait(*lifelines)
        if choices.receipt:
            choices.receipt.write_text(json.dumps(emulator.receipt.to_json(), indent=2, ensure_ascii=False) + "\n")


def _raise_limit() -> None:
    """Allow as many open descriptors as we may have: a thousand sandboxes take some thousands."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _announce(record: records.RunningEmulator) -> None:
    print(record.to_json(), flush=True)
    # Whoever started us has read its line and may close the pipe; nothing may fail for that.
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), _STDOUT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m agentrun.emulator`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m agentrun.emulator", description=__doc__)
    add_choices(parser)
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop at the end of stdin as well")
    given = parser.parse_args(arguments)
    lifelines = [_STDIN] if given.until_stdin_closes else []
    try:
        serve(read_choices(given, os.environ), *lifelines)
    except _EXPECTED as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"the emulator cannot start: {error.filename or 'the system'}: {error.strerror}")
    return 0


def _failed(reason: str) -> int:
    print(f"agentrun: {reason}", file=sys.stderr)
    return 1
