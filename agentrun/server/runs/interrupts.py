"""Which session has a run, and how it is interrupted: in this process, or wherever it is."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from agentrun.server.runs.run import Interruption

Interrupt: TypeAlias = Callable[[Interruption], None]


class InterruptBackend(Protocol):
    """Knows the runs of all servers that use the same one; a token stands for a run. For one event loop at a time."""

    async def begin(self, session: str, interrupt: Interrupt) -> str | None:
        """Give a session to a new run, which `interrupt` reaches; None when it has one. Raises StorageError."""
        ...

    async def end(self, session: str, token: str) -> None:
        """Free a session from this run."""
        ...

    async def stop(self, session: str) -> str | None:
        """Interrupt the run of a session, and say which; None when there is none. Raises StorageError."""
        ...

    async def is_running(self, session: str, token: str) -> bool:
        """Whether a session has this run still. Raises StorageError."""
        ...

    async def close(self) -> None:
        """Give up connections."""
        ...


class _Held(NamedTuple):
    token: str
    interrupt: Interrupt


def new_token() -> str:
    """What stands for a new run."""
    return secrets.token_hex(8)


class LocalInterruptBackend:
    """Runs of this process."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    async def begin(self, session: str, interrupt: Interrupt) -> str | None:
        """Give a session to a new run, which `interrupt` reaches; None when it has one."""
        if session in self._held:
            return None
        held = self._held[session] = _Held(new_token(), interrupt)
        return held.token

    async def end(self, session: str, token: str) -> None:
        """Free a session from this run."""
        if await self.is_running(session, token):
            del self._held[session]

    async def stop(self, session: str) -> str | None:
        """Interrupt the run of a session, and say which; None when there is none."""
        held = self._held.get(session)
        if held is None:
            return None
        held.interrupt(Interruption.STOPPED)
        return held.token

    async def is_running(self, session: str, token: str) -> bool:
        """Whether a session has this run still."""
        held = self._held.get(session)
        return held is not None and held.token == token

    async def close(self) -> None:
        """Nothing is to be given up."""
