"""Whose call a tool serves: adapters say it, and tools that keep something for each agent's session ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Progress: TypeAlias = "Callable[[float, float | None, str | None], None]"

_session: ContextVar[str | None] = ContextVar("agentrun_tool_session", default=None)
_progress: ContextVar[Progress | None] = ContextVar("agentrun_tool_progress", default=None)


def current_session() -> str | None:
    """The agent's session in which a tool is being called; None where the framework has none."""
    return _session.get()


def report_progress(done: float, total: float | None = None, message: str | None = None) -> None:
    """Tell how far a tool is, to whoever watches the call."""
    watcher = _progress.get()
    if watcher is not None:
        watcher(done, total, message)


@contextmanager
def session(name: str | None) -> Iterator[None]:
    """The calls made within are those of one agent's session: each session has a sandbox of its own."""
    token = _session.set(name)
    try:
        yield
    finally:
        _session.reset(token)


@contextmanager
def watched(progress: Progress | None) -> Iterator[None]:
    """The calls made within tell their progress to this function."""
    token = _progress.set(progress)
    try:
        yield
    finally:
        _progress.reset(token)
