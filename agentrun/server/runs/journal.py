"""Where the records of runs are, so that readers find them: in this process, or for all processes in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple, Protocol

from agentrun._serving.openai_error import ApiError
from agentrun.server.runs.frames import Frame
from agentrun.server.runs.record import Limits, Record

_MOST_RUNS = 10_000
_MOST_BYTES = 64 * 2**20


class State(NamedTuple):
    """How far a run is; `about` is what was said of it when it began."""

    is_over: bool
    last: Frame | None
    error: ApiError | None
    about: dict[str, Any]


class Recorded(Protocol):
    """A run that readers find."""

    async def state(self) -> State:
        """How far it is."""
        ...

    def follow(self, after: int = -1) -> AsyncGenerator[Frame, None]:
        """The frames behind a number, then those to come; raises ApiError when some of them are gone."""
        ...


class Writing(Protocol):
    """A run that is written, in the process where it runs."""

    def add(self, frame: Frame) -> None:
        """Keep a frame."""
        ...

    async def room(self) -> None:
        """Wait until another frame may be added."""
        ...

    async def end(self, error: ApiError | None = None) -> None:
        """There is no more."""
        ...

    def has_readers(self) -> bool:
        """Whether somebody reads it now, as far as is known."""
        ...

    def follow(self, after: int = -1) -> AsyncGenerator[Frame, None]:
        """The frames behind a number, then those to come; raises ApiError when some of them are gone."""
        ...


class Journal(Protocol):
    """Keeps records by the ids of their runs. For one event loop at a time."""

    async def begin(self, run_id: str, about: dict[str, Any], *, keep_seconds: float, waits: bool) -> Writing | None:
        """A new record, kept for so long after its end; None while a run of this id is under way."""
        ...

    async def find(self, run_id: str) -> Recorded | None:
        """The record of a run; None when there is none, or none any more. Raises StorageError."""
        ...

    async def close(self) -> None:
        """Give up connections."""
        ...


class _Local:
    """A record in this process, for whoever writes and whoever reads."""

    def __init__(self, journal: LocalJournal, run_id: str, about: dict[str, Any], keep_seconds: float, waits: bool):
        self.record = Record(journal.limits, waits=waits)
        self._journal = journal
        self._about = about
        self._keep_seconds = keep_seconds
        self.run_id = run_id
        self.add, self.room, self.follow = self.record.add, self.record.room, self.record.follow

    async def state(self) -> State:
        """How far it is."""
        record = self.record
        return State(record.is_over, record.last, record.error, self._about)

    async def end(self, error: ApiError | None = None) -> None:
        """There is no more."""
        self.record.end(error)
        self._journal.ended(self, self._keep_seconds)

    def has_readers(self) -> bool:
        """Whether somebody reads it now."""
        return self.record.has_readers


class LocalJournal:
    """Records in this process; of those that are over, the oldest go when they are too large together."""

    def __init__(self, limits: Limits | None = None, *, most_bytes: int = _MOST_BYTES) -> None:
        self.limits = limits or Limits()
        self._most_bytes = most_bytes
        self._runs: dict[str, _Local] = {}
        self._over: dict[str, _Local] = {}  # The oldest first.
        self._bytes_over = 0

    async def begin(self, run_id: str, about: dict[str, Any], *, keep_seconds: float, waits: bool) -> Writing | None:
        """A new record, kept for so long after its end; None while a run of this id is under way."""
        before = self._runs.get(run_id)
        if before is not None:
            if not before.record.is_over:
                return None
            self._forget(before)
        local = self._runs[run_id] = _Local(self, run_id, about, keep_seconds, waits)
        return local

    async def find(self, run_id: str) -> Recorded | None:
        """The record of a run; None when there is none, or none any more."""
        return self._runs.get(run_id)

    async def close(self) -> None:
        """Forget everything."""
        self._runs.clear()
        self._over.clear()
        self._bytes_over = 0

    def ended(self, local: _Local, keep_seconds: float) -> None:
        """Keep a record that is over for a while."""
        if self._runs.get(local.run_id) is not local:
            return
        self._over[local.run_id] = local
        self._bytes_over += local.record.bytes
        asyncio.get_running_loop().call_later(keep_seconds, self._forget, local)
        while self._over and (len(self._over) > _MOST_RUNS or self._bytes_over > self._most_bytes):
            self._forget(next(iter(self._over.values())))

    def _forget(self, local: _Local) -> None:
        if self._over.get(local.run_id) is local:
            del self._over[local.run_id]
            del self._runs[local.run_id]
            self._bytes_over -= local.record.bytes
