"""How far a call is: told by whoever carries it out, heard by whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

# Told how much is done, of how much if that is known, and what there is to say about it.
Progress: TypeAlias = "Callable[[float, float | None, str | None], object]"

_watcher: ContextVar[Progress | None] = ContextVar("agentrun_progress", default=None)


def watcher() -> Progress | None:
    """What is told the progress of the call in which this is asked; None when nobody watches."""
    return _watcher.get()


def report_progress(done: float, total: float | None = None, message: str | None = None) -> None:
    """Tell how far a call is, if anybody watches it."""
    progress = _watcher.get()
    if progress is not None:
        progress(done, total, message)


@contextmanager
def watched(progress: Progress | None) -> Generator[None]:
    """The calls made within tell their progress to this function."""
    token = _watcher.set(progress)
    try:
        yield
    finally:
        _watcher.reset(token)
