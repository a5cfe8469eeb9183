"""The short way for code that is plain Python: the same as IPython makes of it, in a fraction of the work.

In a process that was just forked most of the time goes into touching memory for the first time, so it counts how much
of IPython an execution passes through. Whatever is special in any way takes the long way.
"""

from __future__ import annotations

import ast
import re
from types import CodeType
from typing import Any

FIRST_WORD = re.compile(r"^[ \t]*([A-Za-z_]\w*)", re.MULTILINE)

PYPLOT = "matplotlib.pyplot"  # its hook redraws windows, and there are none

Compiled = tuple[list[CodeType], bool]  # the parts of the code, and whether the last one is an expression


class DirectExecution:
    """Executes plain Python in the names of a shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._magics: dict[str, Any] = shell.magics_manager.magics["line"]
        self._special = self._specialities()
        # IPython installs its builtins and its display hook for each cell; here they stay.
        shell.builtin_trap.__enter__()
        shell.display_trap.__enter__()

    def compile(self, code: str) -> Compiled | None:
        """The code ready to run; None when it has to take the long way."""
        if self._needs_ipython(code):
            return None
        compiler = self._shell.compile
        name = compiler.cache(code, self._shell.execution_count, raw_code=code)
        try:
            tree = compiler.ast_parse(code, name)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            parts = [compiler(tree, name, "exec")]
            if isinstance(last, ast.Expr):
                parts.append(compiler(ast.Expression(last.value), name, "eval"))
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
            return None
        return parts, last is not None

    def run(self, compiled: Compiled) -> BaseException | None:
        """Run it to its end, the last expression's value to the display hook; the error that it raised, if any."""
        shell, (parts, has_value) = self._shell, compiled
        names = shell.user_ns
        names.pop("__warningregistry__", None)
        try:
            value = None
            for part in parts:
                value = eval(part, shell.user_global_ns, names)
            if has_value:
                shell.displayhook(value)
        except BaseException as error:
            self._explain(error)
            return error
        return None

    def _explain(self, error: BaseException) -> None:
        """Have the traceback made, without the frame of `run`."""
        trace = error.__traceback__.tb_next if error.__traceback__ else None
        raised = type(error), error.with_traceback(trace), trace
        self._shell.showtraceback(raised, tb_offset=0, exception_only=isinstance(error, SystemExit))

    def _needs_ipython(self, code: str) -> bool:
        if self._specialities() != self._special:
            return True
        return any(word in self._magics and self._is_free(word) for word in FIRST_WORD.findall(code))

    def _is_free(self, word: str) -> bool:
        """Whether a magic of that name would be called by its bare name."""
        names = self._shell.user_ns
        return word not in names and not hasattr(names.get("__builtins__"), word)

    def _specialities(self) -> tuple[int, ...]:
        """How much of everything there is by which code can change what becomes of cells."""
        shell = self._shell
        hooks = sum(hook.__module__ != PYPLOT for hooks in shell.events.callbacks.values() for hook in hooks)
        transformers = (*shell.input_transformers_cleanup, *shell.input_transformers_post, *shell.ast_transformers)
        return hooks, len(transformers), len(shell.custom_exceptions), len(shell.ast_node_interactivity)
