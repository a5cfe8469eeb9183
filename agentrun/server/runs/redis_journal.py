"""Records of runs in Redis, where readers of all processes find them."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio

from agentrun._serving.openai_error import ApiError
from agentrun._serving.redis_client import RedisClient, Script
from agentrun.errors import StorageError
from agentrun.server.runs.frames import Frame
from agentrun.server.runs.journal import Recorded, State, Writing
from agentrun.server.runs.record import Limits, Record, gone

_SCRIPTS = Path(__file__).with_name("lua")
_BEGIN, _ADD = (Script(_SCRIPTS, (name,)) for name in ("journal_begin", "journal_add"))
_PAUSE_SECONDS = 0.5
_CLOSE_SECONDS = 1.0
_MOST_AT_ONCE = 256
# Each reader has a connection for itself while it waits.
_MOST_READERS = 100_000
# The second part of an entry's id: those without a number come first, and the end of the run last.
_NUMBERED, _END = 2**32, 2**33
_log = logging.getLogger("agentrun.server")


class RedisJournal:
    """Records in Redis, each with a copy in the process where the run is; `redis_url` as in RedisInterruptBackend.

    Readers in other processes hear within `lease_seconds` of a process that died. When Redis is away those of the same
    process go on, and others wait.
    """

    def __init__(
        self, redis_url: str, limits: Limits | None = None, *, lease_seconds: float = 3.0, prefix: str = "agentrun:"
    ) -> None:
        self.limits = limits or Limits()
        self.lease_seconds = lease_seconds
        self._url = redis_url
        self._prefix = prefix
        self._here: dict[str, _Writing] = {}
        self._connect()

    def _connect(self) -> None:
        self.redis = RedisClient(self._url)
        self.waiting = RedisClient(self._url, most_connections=_MOST_READERS)

    async def begin(self, run_id: str, about: dict[str, Any], *, keep_seconds: float, waits: bool) -> Writing | None:
        """A new record, kept for so long after its end; None while a run of this id is under way."""
        here = self._here.get(run_id)
        if here is not None and (await here.state()).is_over:
            await asyncio.wait([here.sending], timeout=_CLOSE_SECONDS)  # Its readers know, and Redis will in a moment.
        writing = _Writing(self, run_id, about, keep_seconds, waits)
        if not await self.redis.run(_BEGIN, writing.keys[:2], [writing.about, _milliseconds(self.lease_seconds)]):
            return None
        self._here[run_id] = writing
        writing.start()
        return writing

    async def find(self, run_id: str) -> Recorded | None:
        """The record of a run; None when there is none, or none any more. Raises StorageError."""
        here = self._here.get(run_id)
        if here is not None:
            return here
        keys = self.keys(run_id)
        return _Remote(self, keys) if await self.redis.ask("EXISTS", *keys[:2]) else None

    async def close(self) -> None:
        """Give up connections, when what is over is in Redis."""
        sending = [writing.sending for writing in self._here.values()]
        if sending:
            await asyncio.wait(sending, timeout=_CLOSE_SECONDS)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        self._here.clear()
        await self.redis.close()
        await self.waiting.close()
        self._connect()

    def ended(self, writing: _Writing) -> None:
        """A run is over, and all of it in Redis."""
        if self._here.get(writing.run_id) is writing:
            del self._here[writing.run_id]

    def keys(self, run_id: str) -> list[str]:
        """The keys of a run, all in one slot of a cluster: its stream, who writes it, who reads it elsewhere."""
        stream = f"{self._prefix}journal:{{{run_id}}}"
        return [stream, f"{stream}:writer", f"{stream}:reader"]


class _Writing:
    """A record whose frames go to Redis as well, many at a time."""

    def __init__(
        self, journal: RedisJournal, run_id: str, about: dict[str, Any], keep_seconds: float, waits: bool
    ) -> None:
        self.run_id = run_id
        self.about = json.dumps(about)
        self.keys = journal.keys(run_id)
        self._record = Record(journal.limits, waits=waits)
        self._journal = journal
        self._keep_seconds = keep_seconds
        self._lease_seconds = journal.lease_seconds
        self._sent = 0  # So many frames are in Redis.
        self._unnumbered = 0
        self._is_away = False
        self._wake = asyncio.Event()
        self._has_room = asyncio.Event()
        self._read_elsewhere = 0.0
        self.follow = self._record.follow

    def start(self) -> None:
        """Begin to send."""
        self.sending = asyncio.get_running_loop().create_task(self._send_all())

    def add(self, frame: Frame) -> None:
        """Keep a frame."""
        self._record.add(frame)
        self._wake.set()

    async def room(self) -> None:
        """Wait until another frame may be added; not for a Redis that is away."""
        if self._record.added - self._sent >= _MOST_AT_ONCE and not self._is_away:
            self._has_room.clear()
            await self._has_room.wait()
        await self._record.room()

    async def end(self, error: ApiError | None = None) -> None:
        """There is no more."""
        self._record.end(error)
        self._wake.set()

    def has_readers(self) -> bool:
        """Whether somebody reads it now, here or elsewhere."""
        return self._record.has_readers or time.monotonic() < self._read_elsewhere

    async def state(self) -> State:
        """How far it is."""
        record = self._record
        return State(record.is_over, record.last, record.error, json.loads(self.about))

    async def _send_all(self) -> None:
        """Send what there is whenever there is something, and a sign of life now and then."""
        attempts_left = max(1, round(self._keep_seconds / _PAUSE_SECONDS))
        while attempts_left:
            with anyio.move_on_after(0 if self._is_away else self._lease_seconds / 3):
                await self._wake.wait()
            self._wake.clear()
            is_over = self._record.is_over
            await self._try_to_send(is_over)
            self._has_room.set()
            if is_over:
                attempts_left = attempts_left - 1 if self._is_away else 0
            if self._is_away:
                await anyio.sleep(_PAUSE_SECONDS)
        self._journal.ended(self)

    async def _try_to_send(self, is_over: bool) -> None:
        frames, sent = self._record.since(self._sent)
        unnumbered = self._unnumbered
        try:
            await self._send(frames, is_over)
            self._sent, self._is_away = sent, False
        except StorageError as error:
            self._unnumbered = unnumbered
            if not self._is_away:
                _log.warning("What a run tells cannot be kept for other processes now: %s", error)
            self._is_away = True

    async def _send(self, frames: list[Frame], is_over: bool) -> None:
        entries = [part for frame in frames for part in (self._id_of(frame), frame.data)]
        if is_over:
            entries += [self._id_of_end(), _error_text(self._record.error)]
        lease, keep = _milliseconds(self._lease_seconds), _milliseconds(self._keep_seconds + self._lease_seconds)
        most = len(self._record) + 1
        arguments = [self.about, lease, keep, most, int(is_over), *entries]
        found: bytes | None = await self._journal.redis.run(_ADD, self.keys, arguments)
        if found is not None:
            self._read_elsewhere = time.monotonic() + self._lease_seconds
            self._record.given(int(found))

    def _id_of(self, frame: Frame) -> str:
        self._unnumbered = 0 if frame.is_numbered else self._unnumbered + 1
        return f"{frame.sequence + 1}-{_NUMBERED if frame.is_numbered else self._unnumbered}"

    def _id_of_end(self) -> str:
        last = self._record.last
        return f"{last.sequence + 2 if last else 1}-{_END}"


class _Remote:
    """A record that another process writes, or wrote."""

    def __init__(self, journal: RedisJournal, keys: list[str]) -> None:
        self._journal = journal
        self._stream, self._writer, self._reader = keys

    async def state(self) -> State:
        """How far it is."""
        about = await self._journal.redis.ask("GET", self._writer)
        entries = _entries(await self._journal.redis.ask("XREVRANGE", self._stream, "+", "-", "COUNT", 2))
        is_over = bool(entries) and entries[0][1] == _END
        error = _error_of(entries[0][2]) if is_over else None
        frames = [_frame(*entry) for entry in entries if entry[1] != _END]
        if about is None and not is_over:
            error = _lost()
        return State(is_over or about is None, frames[0] if frames else None, error, json.loads(about or "{}"))

    async def follow(self, after: int = -1) -> AsyncGenerator[Frame, None]:
        """The frames behind a number, then those to come; raises ApiError when some of them are gone."""
        place, expected = f"{after + 1}-{_NUMBERED}", after + 1
        while True:
            await self._say(expected - 1)
            entries = await self._read(place)
            for first, second, data in entries:
                if second == _END:
                    if (error := _error_of(data)) is not None:
                        raise error
                    return
                frame = _frame(first, second, data)
                if frame.sequence > expected:
                    raise gone(frame.sequence)
                yield frame
                expected = frame.sequence + frame.is_numbered
                place = f"{first}-{second}"
            if not entries and await self._is_over_behind(place):
                return

    async def _is_over_behind(self, place: str) -> bool:
        """Whether a run is over that has nothing more behind a place; raises ApiError when nobody ended it."""
        state = await self.state()
        if not state.is_over or await self._read(place):
            return False
        if state.error is not None:
            raise state.error
        return True

    async def _say(self, has: int) -> None:
        """Let the writer know that somebody reads, and how far."""
        await self._journal.redis.ask("SET", self._reader, has, "PX", _milliseconds(self._journal.lease_seconds))

    async def _read(self, place: str) -> list[tuple[int, int, bytes]]:
        seconds = self._journal.lease_seconds / 3
        command = ("XREAD", "COUNT", _MOST_AT_ONCE, "BLOCK", _milliseconds(seconds), "STREAMS", self._stream, place)
        found = await self._journal.waiting.ask(*command, wait_seconds=seconds)
        if not found:
            return []
        # Redis answers with pairs in its second protocol, and with a map in its third.
        streams: Any = found.values() if hasattr(found, "values") else [pair[1] for pair in found]
        return _entries(next(iter(streams)))


def _entries(found: Any) -> list[tuple[int, int, bytes]]:
    """Both parts of the id of each entry, and what it holds."""
    entries: list[tuple[int, int, bytes]] = []
    for entry_id, fields in found or ():
        first, _, second = entry_id.decode().partition("-")
        entries.append((int(first), int(second), fields[b"f"]))
    return entries


def _frame(first: int, second: int, data: bytes) -> Frame:
    return Frame(first - 1, data, second == _NUMBERED)


def _error_text(error: ApiError | None) -> str:
    return "" if error is None else json.dumps([error.status, error.message, error.code, error.param, error.type])


def _error_of(text: bytes) -> ApiError | None:
    return ApiError(*json.loads(text)) if text else None


def _lost() -> ApiError:
    return ApiError(
        502, "The server that ran this is gone, and nobody goes on with it", "run_lost", type="internal_error"
    )


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
