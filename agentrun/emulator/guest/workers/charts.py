"""Charts of matplotlib: shown when the code says so, and at the end of the execution that drew them."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

PYPLOT = "matplotlib.pyplot"
FONTS = "matplotlib.font_manager"
BACKEND = "agentrun.emulator.guest.workers.figures"

_show: list[Callable[[dict[str, Any]], None]] = []


class BackendChooser(MetaPathFinder):
    """Chooses our backend at the moment when code imports pyplot; programs that it starts get their usual one."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Find nothing, ever."""
        if fullname == PYPLOT:
            sys.meta_path.remove(self)
            sys.modules["matplotlib"].rcParams["backend"] = f"module://{BACKEND}"


def install(show: Callable[[dict[str, Any]], None]) -> None:
    """Show charts with this from now on."""
    _show[:] = [show]
    sys.meta_path.insert(0, BackendChooser())


def show(data: dict[str, Any]) -> None:
    """Show one chart."""
    for function in _show:
        function(data)


def show_open() -> None:
    """Show the charts that are still open, and close them."""
    if PYPLOT in sys.modules:
        importlib.import_module(BACKEND).show()


def close_fonts() -> None:
    """Close the font files that matplotlib keeps open, whose position a fork would share with others."""
    fonts = sys.modules.get(FONTS)
    if fonts is not None:
        fonts.__dict__["_get_font"].cache_clear()
        gc.collect()
