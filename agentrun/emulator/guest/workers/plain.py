"""Execution by plain Python, where IPython is not installed: names live in a `__main__` module of their own."""

from __future__ import annotations

import ast
import linecache
import traceback
from collections.abc import Callable
from typing import Any

from agentrun.emulator.guest.workers import charts
from agentrun.emulator.guest.workers.bundles import Bundle, describe, failure, travelling

CODE_NAME = "<code"


class PlainExecutor:
    """Statements with `exec`, a last expression with `eval`; `display` shows a value on the way."""

    def __init__(self, show: Callable[[Bundle], None]) -> None:
        self._show = show
        self._count = 0
        self._names = self._fresh_names()

    def execute(self, code: str) -> Bundle:
        """Run the code."""
        try:
            result = self._evaluate(code)
            charts.show_open()
            return {"result": result, "error": None}
        except BaseException as error:  # SystemExit and KeyboardInterrupt end the code, not the context
            return {"result": None, "error": failure(error, _traceback_of(error))}

    def reset(self) -> None:
        """Drop the names that code has made."""
        self._names = self._fresh_names()

    def detach(self) -> None:
        """A clone shares nothing with its original here."""

    def _fresh_names(self) -> dict[str, Any]:
        return {"__name__": "__main__", "__builtins__": __builtins__, "display": self._display}

    def _display(self, *values: Any) -> None:
        for value in values:
            self._show(describe(value))

    def _evaluate(self, code: str) -> Bundle | None:
        """Run all statements; the last one's value when it is an expression with a value."""
        name = self._remember(code)
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), self._names)
        if not isinstance(last, ast.Expr):
            return None
        value = eval(compile(ast.Expression(last.value), name, "eval"), self._names)
        return None if value is None else travelling(describe(value))

    def _remember(self, code: str) -> str:
        """A file name under which tracebacks find the code's lines."""
        self._count += 1
        name = f"{CODE_NAME} {self._count}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        return name


def _traceback_of(error: BaseException) -> str:
    """The traceback without the frames of this file."""
    entry = error.__traceback__
    while entry is not None and not entry.tb_frame.f_code.co_filename.startswith(CODE_NAME):
        entry = entry.tb_next
    return "".join(traceback.format_exception(type(error), error, entry)).rstrip()
