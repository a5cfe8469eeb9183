"""Running somebody's command as if we were not there: its signals, its exit status, its end with ours."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Generator, Mapping, Sequence

from agentrun.cli.output import CommandError

_PASSED_ON = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
}
_WAITED_FOR = _PASSED_ON | {signal.SIGCHLD}
_STOPS = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1


def execute(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command with more variables in its environment; returns its exit status, 128 + n after signal n."""
    with _held(_WAITED_FOR) as before:
        status = _attend(_start(command, environment, before))
    return 128 - status if status < 0 else status


@contextlib.contextmanager
def until_stopped(process: subprocess.Popen[str]) -> Generator[None]:
    """Does not leave the block before a signal asks to stop, or the process has ended by itself."""
    with _held(_STOPS):
        yield
        while process.poll() is None and signal.sigwait(_STOPS) == signal.SIGCHLD:
            pass


@contextlib.contextmanager
def _held(signals: set[signal.Signals]) -> Generator[set[signal.Signals | int]]:
    """Signals wait until they are asked for, so that none is lost before the first look; gives the mask from before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(
    command: Sequence[str], environment: Mapping[str, str], mask: set[signal.Signals | int]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, env={**os.environ, **environment}, preexec_fn=_preparation(mask))
    except FileNotFoundError:
        raise CommandError(f"there is no command {command[0]!r}: {_spelling(command)}", 127) from None
    except OSError as error:
        raise CommandError(f"{command[0]!r} cannot be run: {error.strerror}", 126) from None


def _spelling(command: Sequence[str]) -> str:
    if " " in command[0]:
        return f"write -- {command[0]}, without quotes around it all, or -- sh -c {shlex.quote(command[0])}"
    return "check its spelling and your PATH"


def _preparation(mask: set[signal.Signals | int]) -> Callable[[], None]:
    """What the child does before it becomes the command: take signals again, and die when we are killed."""
    parent = os.getpid()
    set_option = ctypes.CDLL(None).prctl

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        set_option(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _attend(process: subprocess.Popen[bytes]) -> int:
    """Pass signals on until the command has ended."""
    while process.poll() is None:
        told = signal.sigwaitinfo(_WAITED_FOR)
        # A positive code is the kernel's: what a terminal sends, it sends to the whole group, the command included.
        if told.si_signo in _PASSED_ON and told.si_code <= 0:
            process.send_signal(told.si_signo)
    return process.returncode
