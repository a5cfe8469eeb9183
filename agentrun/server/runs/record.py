"""What a run has told so far, within limits, for any number of readers."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from agentrun._serving.openai_error import ApiError
from agentrun.server.runs.frames import Frame

# Dropping is cheap when it is not done for each frame.
_SLACK = 1.1


@dataclass(frozen=True)
class Limits:
    """How much of a run is kept; the oldest goes first."""

    frames: int = 10_000
    bytes: int = 8 * 2**20


class _Signal:
    """Wakes whoever waits."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class Record:
    """The frames of one run; with `waits` the run waits rather than lose what no reader was given."""

    def __init__(self, limits: Limits, *, waits: bool = False) -> None:
        self.is_over = False
        self.error: ApiError | None = None
        self._limits = limits
        self._waits = waits
        self._frames: list[Frame] = []
        self._dropped = 0  # So many frames were there before the first one that is.
        self._bytes = 0
        self._readers: dict[object, int] = {}  # How many frames each of them was given, dropped ones included.
        self._given = 0
        self._changed = _Signal()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def added(self) -> int:
        """How many frames there were, dropped ones included."""
        return self._dropped + len(self._frames)

    @property
    def bytes(self) -> int:
        """How large all frames are that are kept."""
        return self._bytes

    @property
    def last(self) -> Frame | None:
        """The last frame."""
        return self._frames[-1] if self._frames else None

    @property
    def has_readers(self) -> bool:
        """Whether somebody reads it now."""
        return bool(self._readers)

    def add(self, frame: Frame) -> None:
        """Keep a frame; the oldest go when there are too many."""
        self._frames.append(frame)
        self._bytes += len(frame.data)
        self._drop()
        self._changed.send()

    def since(self, position: int) -> tuple[list[Frame], int]:
        """The frames behind so many that there were, and how many there are now."""
        return self._frames[max(0, position - self._dropped) :], self.added

    def given(self, sequence: int) -> None:
        """A reader of a copy has everything up to this number."""
        self._given = max(self._given, self._dropped + bisect_right(self._frames, sequence, key=_sequence))
        self._changed.send()

    def end(self, error: ApiError | None = None) -> None:
        """There is no more; the error is told to readers behind the last frame."""
        self.is_over, self.error = True, error
        self._changed.send()

    async def room(self) -> None:
        """Wait until a frame can be added without one being lost that must not be."""
        while self._waits and self._is_full() and self._may_drop() <= 0:
            await self._changed.wait()

    async def follow(self, after: int = -1) -> AsyncGenerator[Frame, None]:
        """The frames behind a number, then those to come; raises ApiError when some of them are gone."""
        me, position = object(), self._place_behind(after)
        given = self._readers[me] = position
        try:
            while True:
                if position < self._dropped:
                    raise gone(self._frames[0].sequence)
                given, position = position, self.added
                for frame in self._frames[given - self._dropped :]:
                    given += 1
                    if frame.sequence > after:
                        yield frame
                self._give(me, position)
                if position < self.added:
                    continue
                if self.is_over:
                    break
                await self._changed.wait()
        finally:
            self._give(me, given)
            del self._readers[me]
            self._changed.send()
        if self.error is not None:
            raise self.error

    def _place_behind(self, after: int) -> int:
        found = bisect_right(self._frames, after, key=_sequence)
        if found == 0 and self._frames and self._frames[0].sequence > after + 1:
            raise gone(self._frames[0].sequence)
        return self._dropped + found

    def _give(self, reader: object, position: int) -> None:
        self._readers[reader] = position
        self._given = max(self._given, position)
        if self._is_full():
            self._changed.send()

    def _is_full(self, slack: float = 1.0) -> bool:
        limits = self._limits
        return len(self._frames) >= limits.frames * slack or self._bytes >= limits.bytes * slack

    def _may_drop(self) -> int:
        """How many frames everybody was given that wants them."""
        return min(self._readers.values(), default=self._given) - self._dropped

    def _drop(self) -> None:
        if not self._is_full(_SLACK):
            return
        most = self._may_drop() if self._waits else len(self._frames) - 1
        number = 0
        size = self._bytes
        while number < most and (len(self._frames) - number > self._limits.frames or size > self._limits.bytes):
            size -= len(self._frames[number].data)
            number += 1
        del self._frames[:number]
        self._dropped += number
        self._bytes = size


def _sequence(frame: Frame) -> int:
    return frame.sequence


def gone(oldest: int) -> ApiError:
    """What a reader is told who comes too late."""
    message = f"Events behind the one you have are no longer kept; the oldest that is there has the number {oldest}"
    return ApiError(410, message, "events_gone", "last-event-id")
