"""Streams that go on where their reader lost them: the agent works on while it is away, for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from agentrun._serving.openai_error import ApiError, bad_request
from agentrun.errors import StorageError
from agentrun.server.runs.frames import Frame
from agentrun.server.runs.journal import Journal, LocalJournal, Writing
from agentrun.server.runs.recording import write_down

LAST_EVENT_ID = "Last-Event-ID"
_HOW = f"send the same request with the header {LAST_EVENT_ID}: the number of the last event you have"
# Readers are looked for so many times while they may be away.
_LOOKS = 4


class ResumableStreams:
    """Keeps the frames of runs by their ids; a run that nobody reads for `resume_seconds` is cancelled."""

    def __init__(self, resume_seconds: float, journal: Journal | None = None) -> None:
        self._seconds = resume_seconds
        self._journal: Journal = LocalJournal() if journal is None else journal
        self._writing: set[asyncio.Task[None]] = set()

    async def begin(self, run_id: str, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The frames of a new run, with numbers; raises ApiError while one of this id is under way."""
        try:
            writing = await self._journal.begin(run_id, {}, keep_seconds=self._seconds, waits=True)
        except StorageError as error:
            raise unavailable(error) from error
        if writing is None:
            message = f"A run with the id {run_id!r} is under way; to go on with it, {_HOW}"
            raise ApiError(409, message, "run_exists", "id")
        task = asyncio.create_task(write_down(writing, chunks))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        self._look_later(writing, task, 0)
        return told(writing.follow())

    async def resume(self, run_id: str, after: int) -> AsyncGenerator[bytes, None]:
        """The frames of a run behind a number; raises ApiError when it is not kept, or those frames are not."""
        try:
            found = await self._journal.find(run_id)
        except StorageError as error:
            raise unavailable(error) from error
        if found is None:
            message = (
                f"There is no run with the id {run_id!r} to go on with; send it without {LAST_EVENT_ID} to begin one"
            )
            raise ApiError(404, message, "run_not_found", "id")
        return told(found.follow(after))

    async def close(self) -> None:
        """Cancel runs whose readers are away."""
        writing = list(self._writing)
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
        await self._journal.close()

    def _look_later(self, writing: Writing, task: asyncio.Task[None], missed: int) -> None:
        asyncio.get_running_loop().call_later(self._seconds / _LOOKS, self._look, writing, task, missed)

    def _look(self, writing: Writing, task: asyncio.Task[None], missed: int) -> None:
        missed = 0 if writing.has_readers() else missed + 1
        if missed > _LOOKS:
            task.cancel()
        elif not task.done():
            self._look_later(writing, task, missed)


async def told(frames: AsyncGenerator[Frame, None]) -> AsyncGenerator[bytes, None]:
    """Frames as they are sent."""
    async with aclosing(frames):
        try:
            async for frame in frames:
                yield frame.told()
        except StorageError as error:
            raise unavailable(error) from error


def unavailable(error: StorageError) -> ApiError:
    """What to answer when records cannot be reached."""
    return ApiError(503, f"What runs tell cannot be kept or found now: {error}", "journal_unavailable")


def event_number(text: str) -> int:
    """The number in a Last-Event-ID; raises ApiError when it is none."""
    if not (text.isascii() and text.isdigit()):
        raise bad_request(
            f"{LAST_EVENT_ID} is the number of an event, and not {text!r}", "invalid_value", LAST_EVENT_ID
        )
    return int(text)
