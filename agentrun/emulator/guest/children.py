"""How asyncio learns that a child process ended, without a thread for each."""

from __future__ import annotations

import asyncio
import os
import sys


def watch_without_threads() -> None:
    """Before Python 3.12 asyncio starts a thread per child, which fails when a fork bomb has used up all processes."""
    if sys.version_info < (3, 12) and hasattr(os, "pidfd_open"):
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.set_child_watcher(watcher)  # pyright: ignore[reportDeprecated]  # only where it is not yet
