"""The session that a client keeps: opened by the first call, shared by all, and opened anew when it has broken."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

from agentrun._core import background
from agentrun._core.background import BackgroundLoop
from agentrun.errors import (
    AgentRunError,
    Executed,
    InvalidResponseError,
    RequestTimeoutError,
    ToolError,
    TransportError,
)
from agentrun.toolset.mcp.address import Address
from agentrun.toolset.mcp.clock import Clock
from agentrun.toolset.mcp.library import Wire
from agentrun.toolset.mcp.output import broken_promise, schema_of
from agentrun.toolset.mcp.session import Ask, Listening, McpSession
from agentrun.toolset.mcp.transports import log

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
        # Those that the server listed last, be it long ago or over another session.
        self._listed_tools: list[Wire] | None = None
        self._retiring: dict[asyncio.Task[None], McpSession] = {}
        self._is_closed = False
        _all.add(self)

    async def session(self, clock: Clock) -> McpSession:
        """The session, opened if there is none that can be used."""
        async with clock.holding(self._lock):
            if self._session is None or self._session.is_over:
                if self._is_closed:
                    raise TransportError("the client was closed meanwhile", executed=Executed.NO)
                self._retire()
                self._session = session = McpSession(self._address, self._listening)
                await session.open(clock)
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
        session = await self.session(ask.clock)
        try:
            return await use(session)
        except RequestTimeoutError:
            raise  # There is no time for another session, and nothing is known against this one.
        except TransportError as error:
            # A session that was opened for this call has no excuse.
            if error.executed is not Executed.NO or session is not kept:
                raise
            session.is_retired = True
        return await use(await self.session(ask.clock))

    async def listed(self, method: str, field: str, ask: Ask) -> list[Wire]:
        """Everything of a kind that the server has, over all pages; nothing when it does not know the kind."""
        return await self._with_session(ask, lambda session: _listed(session, method, field, ask))

    async def tools(self, refresh: bool, ask: Ask) -> list[Wire]:
        """The tools, which are asked for once and again when they have changed."""
        async with ask.clock.holding(self._listing):
            self._listed_tools = await self._with_session(ask, lambda session: _tools(session, refresh, ask))
            return self._listed_tools

    async def call(self, params: Wire, check: bool, ask: Ask) -> Wire:
        """What a tool answers; raises InvalidResponseError when it is not what the tool promises, unless unchecked."""
        name, answer = str(params["name"]), await self.request("tools/call", params, ask)
        if not check:
            return answer
        wrong = await self._wrong(name, answer)
        if wrong is None and not (self._listed_tools is None and "structuredContent" in answer):
            return answer
        # What is known may be old, or nothing is known yet.
        if not await self._asked_again(ask):
            return answer
        wrong = await self._wrong(name, answer)
        if wrong is not None:
            raise wrong
        return answer

    async def _wrong(self, name: str, answer: Wire) -> InvalidResponseError | None:
        schema = schema_of(name, self._listed_tools or ())
        return None if schema is None else await broken_promise(name, schema, answer)

    async def _asked_again(self, ask: Ask) -> bool:
        """Whether the tools could be listed; that they could not takes nothing from an answer that is there."""
        try:
            await self.tools(self._listed_tools is not None, ask)
        except AgentRunError:
            log.debug("structured output was not checked", exc_info=True)
            return False
        return True

    async def close(self) -> None:
        """End the session."""
        self._is_closed = True
        # Without the lock: whoever opens a session holds it, and learns by this that there is none to wait for.
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
    known = session.known_tools()
    if known is not None and not refresh:
        return known
    listing = session.listing()
    found = await _listed(session, "tools/list", "tools", ask)
    session.know(found, listing)
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
