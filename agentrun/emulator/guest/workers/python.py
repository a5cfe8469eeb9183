"""Executes Python for a context: a JSON line in on stdin's socket, a JSON line out, output on the ordinary descriptors.

IPython does the work when it is installed, `exec` and `eval` otherwise; either way the value of a last expression is
the result.
"""

from __future__ import annotations

import ast
import json
import linecache
import os
import signal
import socket
import sys
import traceback
from types import FrameType
from typing import Any, Protocol

from agentrun.emulator.guest.workers.outcome import failure, success

CODE_NAME = "<code"


class Executor(Protocol):
    """One way to execute code that keeps its names; the answer has `result` and `error`, each possibly None."""

    def execute(self, code: str) -> dict[str, Any]: ...


class Interrupts:
    """SIGINT stops running code and does nothing between two executions."""

    def __init__(self) -> None:
        self.armed = False
        signal.signal(signal.SIGINT, self.on_signal)

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.armed:
            raise KeyboardInterrupt


def main() -> None:
    """Serve executions until the guest closes the socket."""
    control = take_control()
    interrupts = Interrupts()
    executor = make_executor()
    for line in control.makefile("rb"):
        message: dict[str, Any] = json.loads(line)
        if "cwd" in message:
            os.chdir(message["cwd"])
            continue
        control.sendall(json.dumps(perform(executor, interrupts, message["code"])).encode() + b"\n")


def take_control() -> socket.socket:
    """Move the socket away from stdin, where code would read it."""
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.path[0] = ""
    return control


def make_executor() -> Executor:
    try:
        from agentrun.emulator.guest.workers.ipython import IPythonExecutor
    except ImportError:
        return PlainExecutor()
    return IPythonExecutor()


def perform(executor: Executor, interrupts: Interrupts, code: str) -> dict[str, Any]:
    """Execute; an interrupt that comes too late for the code is no error of the worker."""
    try:
        interrupts.armed = True
        answer = executor.execute(code)
        interrupts.armed = False
    except KeyboardInterrupt as error:
        answer = failure(error, "KeyboardInterrupt")
    interrupts.armed = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    return answer


class PlainExecutor:
    """Python without IPython: names live in a `__main__` module of their own."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
        self.count = 0

    def execute(self, code: str) -> dict[str, Any]:
        try:
            return success(self.evaluate(code))
        except BaseException as error:  # SystemExit and KeyboardInterrupt end the code, not the context
            return failure(error, self.traceback_of(error))

    def evaluate(self, code: str) -> str | None:
        """Run all statements; the representation of the last one's value when it is an expression with a value."""
        name = self.remember(code)
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), self.names)
        if not isinstance(last, ast.Expr):
            return None
        value = eval(compile(ast.Expression(last.value), name, "eval"), self.names)
        return None if value is None else repr(value)

    def remember(self, code: str) -> str:
        """A file name under which tracebacks find the code's lines."""
        self.count += 1
        name = f"{CODE_NAME} {self.count}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        return name

    def traceback_of(self, error: BaseException) -> str:
        """The traceback without the frames of this file."""
        entry = error.__traceback__
        while entry is not None and not entry.tb_frame.f_code.co_filename.startswith(CODE_NAME):
            entry = entry.tb_next
        return "".join(traceback.format_exception(type(error), error, entry)).rstrip()


if __name__ == "__main__":
    main()
