"""One response that is being made: while its client listens, or in the background."""

from __future__ import annotations

import asyncio
import logging
import re
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from agentrun._serving.openai_error import ApiError
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.protocols.protocol import failure
from agentrun.server.protocols.responses.archive import Turn
from agentrun.server.protocols.responses.response_writer import ResponseWriter

_NUMBER = re.compile(rb'"sequence_number":(\d+)')
_log = logging.getLogger("agentrun.server")


@dataclass(frozen=True)
class Hooks:
    """Who is told of a run: that it began, what to save before anybody hears of its end, and that it is over."""

    began: Callable[[Run], None]
    save: Callable[[Turn], Awaitable[None]]
    ended: Callable[[Run], None]


class Run:
    """Makes a response of the events of an agent."""

    def __init__(self, turn: Turn, events: AsyncGenerator[AgentEvent, None], hooks: Hooks) -> None:
        self.turn = turn
        self._writer = ResponseWriter(turn.response)
        self._events = events
        self._hooks = hooks
        self._task: asyncio.Task[Any] | None = None
        # Whether somebody hears that the run was cancelled; else it was because nobody does any more.
        self._tells_cancellation = False
        self._is_ending = False
        self._has_ended = asyncio.Event()

    def so_far(self) -> dict[str, Any]:
        """The response with what there is of it."""
        return self._writer.so_far()

    def stream(self) -> AsyncGenerator[bytes, None]:
        """The frames; raises ApiError when the agent fails before it has done anything."""
        return self._pieces(lambda: not self._writer.has_begun)

    async def whole(self) -> dict[str, Any]:
        """The response; raises ApiError when the agent fails."""
        async with aclosing(self._pieces(lambda: True)) as pieces:
            async for _ in pieces:
                pass
        error = self.turn.response["error"]
        if error and not self._tells_cancellation:
            raise ApiError(500, error["message"], error["type"], type="internal_error")
        return self.turn.response

    async def cancel(self) -> None:
        """Stop the agent, and wait until it has stopped; it may have ended by itself before."""
        if self._task is None:
            return
        if not self._is_ending:
            self._tells_cancellation = True
            self._task.cancel()
        await self._has_ended.wait()

    async def _pieces(self, raises: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        """What the events come to, the end included; a failure is an ApiError where it `raises`."""
        writer, self._task = self._writer, asyncio.current_task()
        self._hooks.began(self)
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    if event.event == EventType.ERROR and writer.is_failure(event) and raises():
                        raise failure(event)
                    if piece := writer.write(event):
                        yield piece
                    if writer.is_over:
                        break
            yield await self._finish(writer.complete)
        except asyncio.CancelledError:
            if not self._tells_cancellation:
                await self._leave()
                raise
            _forget_cancellation()
            yield await self._finish(writer.cancel)
        except GeneratorExit:
            await self._leave()
            raise
        except ApiError:
            raise
        except Exception as error:
            _log.exception("A response could not be completed")
            yield await self._finish(partial(writer.fail, _problem(error)))
        finally:
            self._has_ended.set()
            self._hooks.ended(self)

    async def _leave(self) -> None:
        """Keep what there is for a client that has gone, and may come back."""
        if self._writer.has_begun and not self._is_ending:
            await self._finish(self._writer.cancel)

    async def _finish(self, end: Callable[[], bytes]) -> bytes:
        piece = end()
        self._is_ending = True
        try:
            await self._hooks.save(self.turn)
        except Exception as error:
            _log.exception("A response could not be kept")
            piece += self._writer.fail(_problem(error))
        self._has_ended.set()
        return piece + self._writer.last()


class BackgroundRun(Run):
    """A response that is made whoever listens; its frames are kept, so that they can be read again from anywhere.

    One whose frames come to more than `most_bytes` fails.
    """

    def __init__(self, turn: Turn, events: AsyncGenerator[AgentEvent, None], hooks: Hooks, most_bytes: int) -> None:
        super().__init__(turn, events, hooks)
        self._tells_cancellation = True
        self.size = 0
        self._most_bytes = most_bytes
        self._starts: list[int] = []  # The number of the first frame in each piece.
        self._kept: list[bytes] = []
        self._news = asyncio.Event()
        self._is_complete = False

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._work())
        self._hooks.began(self)

    async def cancel(self) -> None:
        """Stop the agent, and wait until it has stopped and its last frames are kept."""
        await super().cancel()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def follow(self, after: int) -> AsyncGenerator[bytes, None]:
        """The frames behind the one of this number, those to come included."""
        place = max(bisect_right(self._starts, after + 1) - 1, 0)
        while place < len(self._kept) or not self._is_complete:
            if place == len(self._kept):
                await self._news.wait()
                continue
            piece = self._kept[place]
            if self._starts[place] <= after:
                piece = _behind(piece, after)
            if piece:
                yield piece
            place += 1

    async def _work(self) -> None:
        try:
            self._keep(self._writer.begin())
            async with aclosing(self._pieces(lambda: False)) as pieces:
                async for piece in pieces:
                    self._keep(piece)
                    if self.size > self._most_bytes and not self._writer.is_over:
                        self._keep(self._writer.fail({"message": f"It is longer than {self._most_bytes} bytes"}))
        finally:
            self._is_complete = True
            self._wake()

    def _keep(self, piece: bytes) -> None:
        number = _NUMBER.search(piece)
        if number is not None:
            self._starts.append(int(number[1]))
            self._kept.append(piece)
        else:
            self._kept[-1] += piece  # What an agent wrote as it is stays where it was.
        self.size += len(piece)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _behind(piece: bytes, after: int) -> bytes:
    """The frames of a piece that come behind the one of this number."""
    frames = piece.split(b"\n\n")[:-1]
    for place, frame in enumerate(frames):
        number = _NUMBER.search(frame)
        if number is not None and int(number[1]) > after:
            return b"\n\n".join([*frames[place:], b""])
    return b""


def _problem(error: Exception) -> dict[str, Any]:
    return {"code": type(error).__name__, "message": str(error)}


def _forget_cancellation() -> None:
    """The task goes on: it was cancelled to stop the agent, and not to stop itself. Python 3.10 does not count."""
    task: Any = asyncio.current_task()
    uncancel: Callable[[], int] | None = getattr(task, "uncancel", None)
    if uncancel is not None:
        uncancel()
