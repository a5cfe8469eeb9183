"""Execution by IPython in this very process: magics, `!commands`, top-level await and rich results."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, cast

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.formatters import BaseFormatter
from IPython.core.interactiveshell import InteractiveShell
from traitlets import ObjectName, Unicode
from traitlets.config import Config

from agentrun.emulator.guest.workers import charts, tables
from agentrun.emulator.guest.workers.bundles import PLAIN, Bundle, failure, travelling
from agentrun.emulator.guest.workers.direct import DirectExecution

OWN_FOLDER = os.path.dirname(__file__) + os.sep
SCALARS = frozenset({int, float, complex, bool, str, bytes})  # nothing but text can be shown of them


class ResultHook(DisplayHook):  # type: ignore[misc, unused-ignore]
    """Keeps the data of the last value instead of printing it."""

    data: Bundle | None = None

    def __call__(self, result: Any = None) -> None:
        """Take a value; the short way for values of which there is nothing but text."""
        if type(result) in SCALARS:
            hook = cast("Any", self)
            self.data = {PLAIN: hook.shell.display_formatter.formatters[PLAIN](result)}
            hook.update_user_ns(result)
        else:
            cast("Any", super()).__call__(result)

    def write_output_prompt(self) -> None:
        """No `Out[1]:`."""

    def write_format_data(self, format_dict: Bundle, md_dict: Bundle | None = None) -> None:
        self.data = format_dict

    def finish_displayhook(self) -> None:
        """Nothing was printed, so nothing has to be finished."""


class Publisher(DisplayPublisher):  # type: ignore[misc, unused-ignore]
    """Hands over what the code displays."""

    show: Callable[[Bundle], None]

    def publish(self, data: Bundle, *_arguments: Any, **_options: Any) -> None:
        """Show it; an update of something that was shown is shown anew."""
        self.show(data)

    def clear_output(self, wait: bool = False) -> None:
        """What was shown cannot be taken back."""


class Shell(InteractiveShell):  # type: ignore[misc, unused-ignore]
    """A shell that hands tracebacks over instead of printing them."""

    displayhook_class = ResultHook
    display_pub_class = Publisher
    traceback_text = ""

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        self.traceback_text = "\n".join(stb)

    def _get_exc_info(self, exc_tuple: Any = None) -> Any:
        found = cast("Any", super())._get_exc_info(exc_tuple)
        _cut_own_frames(found[2])
        return found

    def enable_gui(self, gui: Any = None) -> None:
        """There is no screen."""

    def enable_matplotlib(self, gui: Any = None) -> tuple[str, str]:
        """Charts are always shown; `%matplotlib` changes nothing."""
        return "inline", "inline"

    def ask_exit(self) -> None:
        """`exit` and `quit` end the code only."""
        raise SystemExit


class TableFormatter(BaseFormatter):  # type: ignore[misc, unused-ignore]
    """DataFrames as data."""

    format_type = Unicode(tables.MIME_TYPE)
    print_method = ObjectName("_repr_data_resource_")
    _return_type = (dict,)


class Loop:
    """The event loop of top-level `await`; tasks that a cell leaves go on in the next one that awaits."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._of_others: list[asyncio.AbstractEventLoop | None] = []

    def __call__(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end."""
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(work)

    def forget(self) -> None:
        """Leave the loop to the original: its kernel objects are shared with it, so it must not even be closed here."""
        self._of_others.append(self._loop)
        self._loop = None
        asyncio.set_event_loop(None)


class IPythonExecutor:
    """Executes with IPython; nothing is written to the home folder."""

    def __init__(self, show: Callable[[Bundle], None]) -> None:
        os.environ.setdefault("IPYTHONDIR", os.path.join(tempfile.gettempdir(), ".ipython"))
        warnings.filterwarnings("ignore", message="To exit: use 'exit'")
        self.shell = cast("Any", Shell.instance(config=_config()))
        self.shell.system = self.shell.system_raw  # `!cmd` on our own descriptors, not on a terminal made for it
        self.shell.display_pub.show = show
        self._loop = self.shell.loop_runner = Loop()
        _add_formatters(self.shell.display_formatter)
        self._direct = DirectExecution(self.shell)

    def execute(self, code: str) -> Bundle:
        """Run the code."""
        self.shell.displayhook.data = None
        compiled = self._direct.compile(code)
        error = self._run_cell(code) if compiled is None else self._direct.run(compiled)
        charts.show_open()
        if error is not None:
            return {"result": None, "error": failure(error, self.shell.traceback_text)}
        data = None if _is_silenced(code) else self.shell.displayhook.data
        return {"result": None if data is None else travelling(data), "error": None}

    def _run_cell(self, code: str) -> BaseException | None:
        done = self.shell.run_cell(code, store_history=False)
        error: BaseException | None = done.error_before_exec or done.error_in_exec
        return error

    def reset(self) -> None:
        """Drop the names that code has made."""
        self.shell.reset(new_session=False)

    def detach(self) -> None:
        """Make an event loop of its own when one is needed."""
        self._loop.forget()


def _is_silenced(code: str) -> bool:
    """Whether the value of the last line is not wanted, which a semicolon says."""
    *_, last = code.rstrip().rsplit("\n", 1)
    return last.endswith(";") and "#" not in last


def _config() -> Config:
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    config.InteractiveShell.cache_size = 0
    return config


def _cut_own_frames(trace: TracebackType | None) -> None:
    """End a traceback where the code has called something of ours."""
    while trace is not None and trace.tb_next is not None:
        if trace.tb_next.tb_frame.f_code.co_filename.startswith(OWN_FOLDER):
            trace.tb_next = None
        trace = trace.tb_next


def _add_formatters(formatter: Any) -> None:
    """Tables and figures, once the code has loaded the libraries that they are of."""
    data: Any = TableFormatter(parent=formatter)
    formatter.formatters[tables.MIME_TYPE] = data
    for module in ("pandas", "pandas.core.frame"):
        data.for_type_by_name(module, "DataFrame", tables.describe)
    formatter.formatters["image/png"].for_type_by_name("matplotlib.figure", "Figure", _png)


def _png(figure: Any) -> Any:
    return sys.modules[charts.BACKEND].png_of_result(figure) if charts.BACKEND in sys.modules else None
