"""One session with a server, on the background loop: opened, asked by many at once, ended by us or by the server."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from agentrun._core.background import Tell
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
from agentrun.toolset.mcp.library import Elicit, Listeners, Wire, library, plain, server_error
from agentrun.toolset.mcp.streams import Inbox, Outbox, Sent, current
from agentrun.toolset.mcp.transports import log, way_to

CONNECTION_CLOSED = -32000
# What says that the request was not carried out: it is no request, nobody knows it, or its arguments are wrong.
_REFUSED = (-32700, -32600, -32601, -32602)
_SECONDS_TO_CLOSE = 10.0
# How long tools are taken as known when the server has no way to tell us of a change, or of its end.
_SECONDS_UNHEARD = 5.0


@dataclass(frozen=True)
class Ask:
    """How a call is made: the time it has, and who is told of its progress, and where."""

    clock: Clock
    progress: Callable[[float, float | None, str | None], object] | None = None
    progress_resets_timeout: bool = False
    tell: Tell | None = None

    def told(self, tell: Tell) -> Ask:
        """The same, with the place of whoever is told."""
        return replace(self, tell=tell)


@dataclass(frozen=True)
class Listening:
    """Who is told what a server says of its own accord."""

    log: Callable[[Wire], None]
    elicit: Elicit | None = None


class Listing(NamedTuple):
    """What was so when the server was asked for its tools: how often they had changed, and whether we hear of it."""

    changes: int
    heard: bool


class McpSession:
    """A session, which knows the tools that the server listed until they change."""

    def __init__(self, address: Address, listening: Listening) -> None:
        self._listening = listening
        self._way = way_to(address, self._changed, self._broken)
        loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[Wire] = loop.create_future()
        self._ended: asyncio.Future[AgentRunError] = loop.create_future()
        self._ending = asyncio.Event()
        self._session: Any = None
        self._later: set[asyncio.Task[None]] = set()
        # Its tasks live longer than the call that opens it, so they take nothing of that call along.
        self._task = Context().run(loop.create_task, self._live())
        self.is_retired = False
        self._unanswered = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.info: Wire = {}
        self._tools: list[Wire] | None = None
        self._tools_until = 0.0
        self._changes = 0

    @property
    def is_over(self) -> bool:
        """Whether it must not be used for anything new."""
        return self.is_retired or self._ended.done()

    # Its life

    async def open(self, clock: Clock) -> None:
        """Wait until it can be used; raises why it cannot."""
        try:
            await _first_of(clock.left, self._opened, self._ended)
            if self._ended.done():
                raise self._ended.result()
            if not self._opened.done():
                raise RequestTimeoutError(
                    f"the MCP server opened no session in {clock.seconds:g} s",
                    hint="Raise timeout=",
                    executed=Executed.NO,
                )
        except BaseException:
            self._task.cancel()
            raise
        self.info = self._opened.result()

    async def close(self) -> None:
        """Say goodbye, and end everything that belongs to it."""
        self._broken(TransportError("the session was closed", executed=Executed.UNKNOWN))
        await asyncio.wait([self._task], timeout=_SECONDS_TO_CLOSE)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1)

    async def retire(self) -> None:
        """Take nothing new, and close when all that was asked is answered."""
        self.is_retired = True
        await self._idle.wait()
        await self.close()

    async def _live(self) -> None:
        error: AgentRunError | None = None
        try:
            async with self._way.open() as (read, write), self._over(read, write) as session:
                found = await session.initialize()
                self._session = session
                self._opened.set_result(plain(found))
                await self._ending.wait()
        except asyncio.CancelledError:
            raise
        except BaseException as caught:
            log.debug("a session ended", exc_info=True)
            error = self._meaning(_first(caught), Sent(), opening=not self._opened.done())
        finally:
            self._broken(error or TransportError("the session was closed"))

    def _over(self, read: Any, write: Any) -> Any:
        listeners = Listeners(self._listening.log, self._notified, self._listening.elicit)
        return library().session(Inbox(read, self._no_more), Outbox(write), listeners)

    def _notified(self, method: str) -> None:
        if method == "notifications/tools/list_changed":
            self._changed()

    def _changed(self) -> None:
        self._tools = None
        self._changes += 1

    def _no_more(self) -> None:
        if self._opened.done():
            self._broken(TransportError("the MCP server ended the connection"))
        self._ending.set()

    def _broken(self, error: AgentRunError) -> None:
        if not self._ended.done():
            self._ended.set_result(error)
        self._ending.set()

    # The tools that it knows

    def known_tools(self) -> list[Wire] | None:
        """What the server listed, None when that has to be asked for."""
        return self._tools if time.monotonic() < self._tools_until else None

    def listing(self) -> Listing:
        """To be called before the server is asked for its tools."""
        return Listing(self._changes, self._way.hears)

    def know(self, tools: list[Wire], listing: Listing) -> None:
        """Keep what the server listed, unless some of it may be old already."""
        if self._changes == listing.changes:
            self._tools = tools
            self._tools_until = time.monotonic() + (math.inf if listing.heard else _SECONDS_UNHEARD)

    # What it is asked

    async def request(self, method: str, params: Wire, ask: Ask) -> Wire:
        """The result of a request; raises an error of the tree, whose `executed` tells what is known."""
        sent = Sent()
        task = asyncio.ensure_future(self._send(method, params, ask, sent))
        self._unanswered += 1
        self._idle.clear()
        try:
            await self._answer_or_end(task, ask.clock)
        except asyncio.CancelledError:
            self._do_later(self._abandon(task, sent, "the caller was cancelled"))
            raise
        finally:
            self._unanswered -= 1
            if not self._unanswered:
                self._idle.set()
        if task.done():
            return await task
        self._do_later(self._abandon(task, sent, "the time for it is over"))
        raise self._given_up(method, sent, ask)

    async def _answer_or_end(self, task: asyncio.Task[Wire], clock: Clock) -> None:
        while not task.done() and not self._ended.done() and clock.left > 0:
            await _first_of(clock.left, task, self._ended)

    def _given_up(self, method: str, sent: Sent, ask: Ask) -> AgentRunError:
        executed = Executed.NO if sent.request_id is None else Executed.UNKNOWN
        if not self._ended.done():
            text = f"no answer to {method} in {ask.clock.seconds:g} s"
            return RequestTimeoutError(text, hint="Raise timeout=", executed=executed)
        why = self._ended.result()
        return TransportError(f"the session broke before {method} was answered: {why.message}", executed=executed)

    async def _send(self, method: str, params: Wire, ask: Ask, sent: Sent) -> Wire:
        current.set(sent)
        try:
            return await library().ask(self._session, method, params, _report(ask))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise self._meaning(error, sent, opening=False, tool=params.get("name")) from error

    async def _abandon(self, task: asyncio.Task[Wire], sent: Sent, reason: str) -> None:
        task.cancel()
        await asyncio.wait([task], timeout=_SECONDS_TO_CLOSE)
        # One line of the package says so by itself, the other one does not.
        if sent.request_id is not None and not sent.is_cancelled and not self._ended.done():
            await library().cancel(self._session, sent.request_id, reason)

    def _do_later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._later.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._later.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("a request could not be cancelled", exc_info=task.exception())

    def _meaning(self, error: BaseException, sent: Sent, *, opening: bool, tool: str | None = None) -> AgentRunError:
        """The error of the tree for one that came up."""
        if isinstance(error, AgentRunError):
            return error
        said = server_error(error)
        if said is not None:
            return self._answered(said.code, said.message, said.data, sent, opening, tool)
        explanation = self._way.explanation() if opening else None
        if explanation is not None:
            return explanation
        text = str(error) or type(error).__name__
        if sent.request_id is None and not opening:
            return TransportError(f"the session broke before the request was sent: {text}", executed=Executed.NO)
        return InvalidResponseError(f"the MCP server does not keep to the protocol: {text}")

    def _answered(
        self, code: int, message: str, data: Any, sent: Sent, opening: bool, tool: str | None
    ) -> AgentRunError:
        ours = self._way.failure(data)
        if ours is not None:
            return ours
        if code == CONNECTION_CLOSED and message == "Connection closed":
            explanation = self._way.explanation() if opening else None
            executed = Executed.NO if sent.request_id is None else Executed.UNKNOWN
            return explanation or TransportError("the MCP server ended the connection", executed=executed)
        executed = Executed.NO if code in _REFUSED else Executed.UNKNOWN
        return ToolError(message, tool=tool, error_code=str(code), executed=executed)


async def _first_of(seconds: float, *futures: asyncio.Future[Any]) -> None:
    """Wait until one of them is done, for so many seconds at most."""
    await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def _report(ask: Ask) -> Any:
    """What the package calls with the progress of a request, None when nobody wants to know."""
    progress, tell = ask.progress, ask.tell
    if progress is None and not ask.progress_resets_timeout:
        return None

    async def report(done: float, total: float | None, message: str | None) -> None:
        if ask.progress_resets_timeout:
            ask.clock.restart()
        if progress is not None and tell is not None:
            tell(partial(progress, done, total, message))

    return report


def _first(error: BaseException) -> BaseException:
    """The first cause in a group of errors, which is how a group of tasks reports one."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return _first(inner[0]) if inner else error
