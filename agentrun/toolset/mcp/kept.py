"""The session that a client keeps: opened by the first call, shared by all, and opened anew when it has broken."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

from agentrun._core import background
from agentrun._core.background import BackgroundLoop
from agentrun.errors import Executed, ToolError, TransportError
from agentrun.toolset.mcp.address import Address
from agentrun.toolset.mcp.library import Wire
from agentrun.toolset.mcp.session import Ask, Listening, McpSession

T = TypeVar("T")

_UNKNOWN_METHOD = "-32601"
_MOST_PAGES = 1000
_SECONDS_AT_EXIT = 5.0


class KeptSession:
    """At most one session at a time; everything but the constructor and `abandon` runs on its background loop."""

    def __init__(self, address: Address, listening: Listening) -> None:
        self.background: BackgroundLoop = background.acquire()
        self._address = address
        self._listening = listening
        self._lock = asyncio.Lock()
        self._listing = asyncio.Lock()
        self._session: McpSession | None = None
        self._retiring: dict[asyncio.Task[None], McpSession] = {}
        self._is_closed = False
        _all.add(self)

    async def session(self, timeout: float) -> McpSession:
        """The session, opened if there is none that can be used."""
        async with self._lock:
            if self._session is None or self._session.is_over:
                if self._is_closed:
                    raise TransportError("the client was closed meanwhile", executed=Executed.NO)
                self._retire()
                self._session = session = McpSession(self._address, self._listening)
                await session.open(timeout)
            return self._session

    def _retire(self) -> None:
        if self._session is not None:
            task = asyncio.ensure_future(self._session.retire())
            self._retiring[task] = self._session
            task.add_done_callback(self._retiring.pop)

    async def request(self, method: str, params: Wire, ask: Ask) -> Wire:
        """The result of a request; it is made a second time only when it was certainly not carried out."""
        return await self._with_session(ask, lambda session: session.request(method, params, ask))

    async def _with_session(self, ask: Ask, use: Callable[[McpSession], Awaitable[T]]) -> T:
        kept = self._session
        session = await self.session(ask.timeout)
        try:
            return await use(session)
        except TransportError as error:
            # A session that was opened for this call has no excuse.
            if error.executed is not Executed.NO or session is not kept:
                raise
            session.is_retired = True
        return await use(await self.session(ask.timeout))

    async def listed(self, method: str, field: str, ask: Ask) -> list[Wire]:
        """Everything of a kind that the server has, over all pages; nothing when it does not know the kind."""
        return await self._with_session(ask, lambda session: _listed(session, method, field, ask))

    async def tools(self, refresh: bool, ask: Ask) -> list[Wire]:
        """The tools, which are asked for once and again when they have changed."""
        async with self._listing:
            return await self._with_session(ask, lambda session: _tools(session, refresh, ask))

    async def close(self) -> None:
        """End the session."""
        self._is_closed = True
        async with self._lock:
            sessions = [*self._retiring.values(), *([self._session] if self._session else [])]
            await asyncio.gather(*(session.close() for session in sessions))

    def closing(self) -> Future[None]:
        """Begin to close, from any thread."""
        done: Future[None] = Future()

        def begin() -> None:
            task = self.background.loop.create_task(self.close())
            task.add_done_callback(lambda _: done.set_result(None))

        self.background.start(begin)
        return done

    def released(self) -> None:
        """Give the background loop back, once closed."""
        _all.discard(self)
        background.release(self.background)

    def abandon(self) -> None:
        """Close without waiting: whoever held it is gone."""
        if self.background.is_current and self in _all:
            _all.discard(self)
            self.closing().add_done_callback(lambda _: background.release(self.background))


_all: weakref.WeakSet[KeptSession] = weakref.WeakSet()


async def _tools(session: McpSession, refresh: bool, ask: Ask) -> list[Wire]:
    if session.tools is not None and not refresh:
        return session.tools
    changes = session.changes
    found = await _listed(session, "tools/list", "tools", ask)
    session.tools = found if session.changes == changes else None  # Some of it may be old already.
    return found


async def _listed(session: McpSession, method: str, field: str, ask: Ask) -> list[Wire]:
    found: list[Wire] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        try:
            page = await session.request(method, {"cursor": cursor} if cursor else {}, ask)
        except ToolError as error:
            if error.error_code == _UNKNOWN_METHOD:
                return []
            raise
        found += page.get(field) or []
        cursor = page.get("nextCursor")
        if not cursor:
            return found
    raise ToolError(f"the answer to {method} has more than {_MOST_PAGES} pages")


def _close_all() -> None:
    closing = [kept.closing() for kept in list(_all) if kept.background.is_current]
    for future in closing:
        try:
            future.result(_SECONDS_AT_EXIT)
        except Exception:  # The interpreter ends, and nobody could do anything about it.
            future.cancel()


background.at_exit(_close_all)
