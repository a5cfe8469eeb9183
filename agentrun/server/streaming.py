"""Answers that come piece by piece: not faster than they are read, and no longer than somebody reads them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.responses import JSONResponse, Response

from agentrun._serving.asgi import Receive, Scope, Send
from agentrun._serving.openai_error import DO_NOT_RETRY, ApiError

T = TypeVar("T")

_MOST_WAITING = 64
# Proxies between us and the client give up on connections that are silent for a minute.
_SECONDS_OF_SILENCE = 15.0
_STILL_HERE = b": still here\n\n"
_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}
_log = logging.getLogger("agentrun.server")


async def until_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work comes to; None when the client has gone before, and the work was cancelled."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.cancelled():
            raise _interrupted()
        return task.result() if task.done() else None
    finally:
        await _end(task, gone)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _interrupted() -> ApiError:
    return ApiError(500, "The agent was interrupted", "CancelledError", type="internal_error")


def error_answer(error: ApiError) -> Response:
    """An error in place of a stream."""
    return JSONResponse(error.body(), error.status, headers={**DO_NOT_RETRY, **error.headers})


class EventStream(Response):
    """Server-sent events from a generator of whole frames.

    An ApiError that it raises before its first frame is answered with its status, a later one with a last event.
    """

    def __init__(self, frames: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]  # Nobody knows it yet.
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""
        outbox = _Outbox()
        filling = asyncio.create_task(outbox.fill(self._frames))
        gone = asyncio.create_task(_gone(receive))
        gone.add_done_callback(lambda _: outbox.close())
        try:
            await self._send_all(outbox, scope, receive, send)
        finally:
            outbox.close()
            await _end(filling, gone)

    async def _send_all(self, outbox: _Outbox, scope: Scope, receive: Receive, send: Send) -> None:
        piece = await outbox.take()
        if not piece and outbox.error is not None:
            await error_answer(outbox.error)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while piece:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await outbox.take()
        last = outbox.error.event() if outbox.error else b""
        await send({"type": "http.response.body", "body": last, "more_body": False})


class _Outbox:
    """Frames on their way: many small ones that are there at once leave together."""

    def __init__(self) -> None:
        self.error: ApiError | None = None
        self._frames: list[bytes] = []
        self._ended = False
        self._has_some = asyncio.Event()
        self._has_room = asyncio.Event()

    async def fill(self, frames: AsyncGenerator[bytes, None]) -> None:
        """Put in what a generator gives, and wait where nobody takes it out."""
        try:
            async with aclosing(frames):
                async for frame in frames:
                    self._frames.append(frame)
                    self._has_some.set()
                    if len(self._frames) >= _MOST_WAITING:
                        self._has_room.clear()
                        await self._has_room.wait()
        except ApiError as error:
            self.error = error
        except asyncio.CancelledError:
            if self._ended:
                raise
            self.error = _interrupted()  # Nobody here did it, so it was the agent itself.
        except Exception as error:
            _log.exception("The answer of the agent cannot be told")
            self.error = ApiError(500, str(error), type(error).__name__, type="internal_error")
        finally:
            self.close()

    def close(self) -> None:
        """Say that there is no more."""
        self._ended = True
        self._has_some.set()

    async def take(self) -> bytes:
        """All that is there, at least something; empty at the end."""
        if not self._frames and not self._ended:
            self._has_some.clear()
            still_here = asyncio.get_running_loop().call_later(_SECONDS_OF_SILENCE, self._break_silence)
            await self._has_some.wait()
            still_here.cancel()
        pieces = b"".join(self._frames)
        self._frames.clear()
        self._has_room.set()
        return pieces

    def _break_silence(self) -> None:
        self._frames.append(_STILL_HERE)
        self._has_some.set()
