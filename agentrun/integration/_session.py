"""Whose call a tool serves: adapters say it, and tools that keep something for each agent's session ask."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from agentrun._core.blocking import run
from agentrun._core.closing import Closing

_session: ContextVar[str | None] = ContextVar("agentrun_tool_session", default=None)


def current_session() -> str | None:
    """The agent's session in which a tool is being called; None where the framework has none."""
    return _session.get()


@contextmanager
def session(name: str | None) -> Generator[None]:
    """The calls made within are those of one agent's session: each session has a sandbox of its own."""
    token = _session.set(name)
    try:
        yield
    finally:
        _session.reset(token)


class PerSession(Closing):
    """Something that keeps a thing for each session of an agent, and can give back that of one session."""

    async def close_session_async(self, session_id: str | None) -> None:
        """Give back what is held for a session, because it is over; calling it twice is allowed."""
        raise NotImplementedError

    def close_session(self, session_id: str | None) -> None:
        """Give back what is held for a session, because it is over; calling it twice is allowed."""
        run(self.close_session_async(session_id))
