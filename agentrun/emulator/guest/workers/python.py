"""Executes Python for a context: a JSON line in on the control socket, JSON lines out, output on stdout and stderr.

IPython does the work when it is installed, `exec` and `eval` otherwise; either way the value of a last expression is
the result. Run as a program, it finds the control socket at its stdin; loaded by one that forks, that calls `prepare`
once before it forks and `serve` in every fork.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from types import FrameType
from typing import Any, Protocol, TextIO

from agentrun.emulator.guest.workers import charts
from agentrun.emulator.guest.workers.bundles import Bundle, failure, travelling
from agentrun.emulator.guest.workers.channel import Channel, Message
from agentrun.emulator.guest.workers.cloning import Unclonable, clone
from agentrun.emulator.guest.workers.plain import PlainExecutor

PR_SET_PDEATHSIG = 1
ENVIRONMENT = {"MPLBACKEND": "Agg", "TERM": "dumb"}
WARM_UP = ("1 + 1", "'text'", "[1.5, {'a': None}]", "1 / 0", "print(end='')", "import os\nos.getpid()")
WARM_UP_BY_LIBRARY = {
    "numpy": "import numpy\nnumpy.arange(3.0) + 1",
    "pandas": "import pandas\npandas.DataFrame({'a': [1, 2]})",
    "matplotlib.pyplot": "import matplotlib.pyplot\nmatplotlib.pyplot.plot([1, 2])",
}


class Executor(Protocol):
    """One way to execute code that keeps its names; the answer has `result` and `error`, each possibly None."""

    def execute(self, code: str) -> Bundle: ...

    def reset(self) -> None:
        """Drop the names that code has made."""
        ...

    def detach(self) -> None:
        """In a clone: let go of what it must not share with its original."""
        ...


class Interrupts:
    """SIGINT stops running code, not an answer that is being sent, and does nothing between two executions."""

    def __init__(self) -> None:
        self._armed = False
        self._missed = False
        self._untouched = False

    def install(self) -> None:
        """Take the signal over; before a fork, because it costs more than one would think."""
        signal.signal(signal.SIGINT, self.on_signal)
        self._untouched = True

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._armed:
            raise KeyboardInterrupt
        self._missed = True

    @contextlib.contextmanager
    def armed(self) -> Generator[None]:
        """While this lasts an interrupt raises KeyboardInterrupt, whatever earlier code has made of the signal."""
        if not self._untouched:
            signal.signal(signal.SIGINT, self.on_signal)
        try:
            self._armed, self._untouched = True, False
            yield
        finally:
            self._armed = False

    @contextlib.contextmanager
    def held(self) -> Generator[None]:
        """While this lasts an interrupt waits."""
        if not self._armed or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._armed = self._missed = False
        try:
            yield
        finally:
            self._armed = True
        if self._missed:
            raise KeyboardInterrupt


class Worker:
    """Executes what the control socket brings."""

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._process = 0
        self.interrupts = Interrupts()
        self.executor = make_executor(self._show)

    def serve(self, control: socket.socket) -> None:
        """Go on until the guest hangs up."""
        self._channel = channel = Channel(control)
        while message := channel.receive():
            if "code" in message.content:
                channel.send(self.perform(message.content["code"]))
            elif "fork" in message.content:
                self._clone(channel, message)
            else:
                _change_directory(message.content["cwd"])

    def perform(self, code: str) -> Bundle:
        """Execute; an interrupt that comes too late for the code is no error of the worker."""
        self._process = os.getpid()
        try:
            with self.interrupts.armed():
                answer = self.executor.execute(code)
        except KeyboardInterrupt as error:
            answer = {"result": None, "error": failure(error, "KeyboardInterrupt")}
        flush()
        if os.getpid() != self._process:
            os._exit(0)  # the code forked and let its child run to the end of the cell
        return answer

    def _show(self, data: Bundle) -> None:
        """Show something while the code runs: after what it has printed, and before what it prints next."""
        channel = self._channel
        if channel is None or os.getpid() != self._process:
            return
        content = {"display": travelling(data), "wait": threading.current_thread() is threading.main_thread()}
        flush()
        with self.interrupts.held():
            channel.send(content)
            if content["wait"]:
                channel.receive()

    def _clone(self, channel: Channel, message: Message) -> None:
        control, *outputs = message.descriptors
        flush()
        try:
            pid = clone(outputs)
        except Unclonable as error:
            channel.send({"forked": None, "error": str(error)})
        else:
            if pid == 0:
                channel.replace(socket.socket(fileno=os.dup(control)))
                self.executor.detach()
            else:
                channel.send({"forked": pid})
        message.close()


_prepared: list[Worker] = []


def prepare(preload: Sequence[str] = ()) -> None:
    """Load everything that executions need and the modules named, so that a fork only has to `serve`.

    Afterwards there is no thread and no open descriptor that was not there before.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    worker = Worker()
    worker.interrupts.install()
    for code in (*WARM_UP, *(WARM_UP_BY_LIBRARY.get(name, f"import {name}") for name in preload)):
        worker.executor.execute(code)
    worker.executor.reset()
    charts.close_fonts()
    _prepared[:] = [worker]


def serve(control: socket.socket) -> None:
    """Execute what the control socket brings until it is closed; stdin, stdout and stderr are in place already.

    After a fork Python has seeded `random` anew by itself, numpy has not.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(int.from_bytes(os.urandom(4), "little"))  # far less work than without an argument
    builtins.input = _refuse_input
    for descriptor, name in enumerate(("stdout", "stderr"), 1):
        stream = _writer(descriptor)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.argv = [""]
    worker = _prepared[0] if _prepared else Worker()
    if not _prepared:
        worker.interrupts.install()
    worker.serve(control)


def make_executor(show: Callable[[Bundle], None]) -> Executor:
    """IPython, or else plain Python."""
    charts.install(show)
    try:
        from agentrun.emulator.guest.workers.ipython import IPythonExecutor
    except ImportError:
        return PlainExecutor(show)
    return IPythonExecutor(show)


def flush() -> None:
    """Write out what stdout and stderr have gathered, if the code has left them usable."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _writer(descriptor: int) -> TextIO:
    """A stream made anew, because the old one knows what its descriptor was before; whole lines go out at once."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _change_directory(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        print(f"the folder {folder} cannot be entered: {error.strerror}", file=sys.stderr, flush=True)


def _refuse_input(_prompt: Any = "") -> str:
    raise EOFError("nobody can answer input() here: put the value into the code instead")


def end_with_parent() -> None:
    """Let the kernel end this process with the agent that started it; where no namespace does, that may be killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def take_control() -> socket.socket:
    """Move the socket away from stdin, where code would read it."""
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.path[0] = ""
    return control


if __name__ == "__main__":
    end_with_parent()
    serve(take_control())
