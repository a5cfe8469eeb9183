"""Execution by IPython in this very process: magics, `!commands`, top-level await and rich text of results."""

from __future__ import annotations

import os
import tempfile
from typing import Any, cast

from IPython.core.displayhook import DisplayHook
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from agentrun.emulator.guest.workers.outcome import failure, success


class QuietDisplayHook(DisplayHook):  # type: ignore[misc, unused-ignore]
    """Keeps the text of the last value instead of printing it."""

    text: str | None = None

    def write_output_prompt(self) -> None:
        """No `Out[1]:`."""

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        self.text = format_dict.get("text/plain")

    def finish_displayhook(self) -> None:
        """Nothing was printed, so nothing has to be finished."""


class Shell(InteractiveShell):  # type: ignore[misc, unused-ignore]
    """A shell that hands tracebacks over instead of printing them."""

    displayhook_class = QuietDisplayHook
    traceback_text = ""

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        self.traceback_text = "\n".join(stb)


class IPythonExecutor:
    """Executes with IPython; nothing is written to the home folder."""

    def __init__(self) -> None:
        os.environ.setdefault("IPYTHONDIR", os.path.join(tempfile.gettempdir(), ".ipython"))
        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "NoColor"
        config.InteractiveShell.cache_size = 0
        self.shell = cast("Any", Shell.instance(config=config))
        self.shell.system = self.shell.system_raw  # `!cmd` on our own descriptors, not on a terminal made for it

    def execute(self, code: str) -> dict[str, Any]:
        self.shell.displayhook.text = None
        done = self.shell.run_cell(code, store_history=False)
        error = done.error_before_exec or done.error_in_exec
        if error is not None:
            return failure(error, self.shell.traceback_text)
        return success(self.shell.displayhook.text)
