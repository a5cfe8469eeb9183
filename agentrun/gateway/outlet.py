"""The way back to the caller: what is sent, and what happens when nobody is there any more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from agentrun._serving.asgi import Receive, Send
from agentrun._serving.openai_error import ApiError

# Most answers come sooner; only those that do not are worth a task that watches whether the caller is still there.
_WATCH_AFTER_SECONDS = 0.01
_JSON = "application/json"


class Outlet:
    """One answer on its way; the first thing that is sent begins it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.headers: dict[str, str] = {}

    @property
    def begun(self) -> bool:
        """Whether anything of the answer was sent."""
        return self.status != 0

    async def begin(self, status: int, headers: Mapping[str, str], more: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Send the status and the headers, with those that others have left in `headers`."""
        self.status = status
        given = {**headers, **self.headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in given.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": [*raw, *more]})

    async def write(self, piece: bytes, *, last: bool = False) -> None:
        """Send a part of the body, not faster than it is taken."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": not last})

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str], media_type: str = _JSON) -> None:
        """Send a whole answer."""
        await self.begin(status, {"content-type": media_type, "content-length": str(len(body)), **headers})
        await self.write(body, last=True)

    async def json(self, value: Any) -> None:
        """Send values as JSON."""
        await self.whole(200, json.dumps(value, ensure_ascii=False).encode(), {})

    async def fail(self, error: ApiError) -> None:
        """Tell the caller of an error: as an answer, or as the event that ends what has begun."""
        if self.begun:
            await self.write(error.event(), last=True)
        else:
            body = error.raw_body or json.dumps(error.body(), ensure_ascii=False).encode()
            await self.whole(error.status, body, error.headers)


class CallerGone(Exception):
    """The caller went away before its answer was whole."""


class Presence:
    """Cancels the work of its block when the caller goes away; the block then ends with CallerGone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._working: asyncio.Task[Any] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gone = False

    def __enter__(self) -> None:
        self._working = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_SECONDS, self._watch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer:
            self._timer.cancel()
        if self._watching:
            self._watching.cancel()
        if self._gone and isinstance(error, asyncio.CancelledError):
            raise CallerGone("the caller went away before the answer was whole") from error

    def _watch(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._working:
            self._working.cancel()
