"""Runs an agent, whatever it is made of, and tells what it does as events."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from pydantic import BaseModel

from agentrun.errors import InvalidInputError
from agentrun.server.callables import makes_awaitable
from agentrun.server.conversion import Conversion
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.frameworks import messages_for
from agentrun.server.handlers import InvokeAgentHandler, RunnerLike
from agentrun.server.model import AgentRequest, Message
from agentrun.server.threads import iterate_in_thread

# What stands around every run: it is given the question and the events, and gives the events on.
Around: TypeAlias = Callable[[AgentRequest, AsyncGenerator[AgentEvent, None]], AsyncGenerator[AgentEvent, None]]

_MOST_AT_ONCE = 64
_log = logging.getLogger("agentrun.server")


@dataclass(frozen=True)
class _Returned:
    """What an agent answered with, as against one of many things that it gives."""

    value: Any


class AgentInvoker:
    """Runs a handler: a function, a coroutine, a generator of either kind, an object that is called, or a runner.

    What blocks has a thread of its own, and never keeps the event loop from others. What is `around` its runs sees
    each of them from its beginning to its end, the first one outermost.
    """

    def __init__(self, invoke_agent: InvokeAgentHandler, around: Sequence[Around] = ()) -> None:
        self._around = around
        self.serve(invoke_agent)

    def serve(self, invoke_agent: InvokeAgentHandler) -> None:
        """Run this from now on."""
        self._runner: Any = invoke_agent() if isinstance(invoke_agent, type) else invoke_agent
        self._handler = _callable(self._runner)
        self._is_async = makes_awaitable(self._handler)

    async def start(self) -> None:
        """Let a runner make itself ready; others need nothing."""
        await self._hook("init_handler")

    async def stop(self) -> None:
        """Let a runner put away what it holds."""
        await self._hook("shutdown_handler")

    async def _hook(self, name: str) -> None:
        hook: Callable[[], Any] | None = getattr(self._runner, name, None)
        if hook is None:
            return
        result = hook() if makes_awaitable(hook) else await asyncio.to_thread(hook)
        if inspect.isawaitable(result):
            await result

    async def invoke(self, request: AgentRequest) -> list[AgentEvent]:
        """All events of a run; what goes wrong in the agent is raised as it is."""
        async with aclosing(self._events(request)) as events:
            return [event async for event in events]

    def invoke_stream(self, request: AgentRequest) -> AsyncGenerator[AgentEvent, None]:
        """The events of a run as they come; what goes wrong becomes an ERROR event, which is the last one."""
        events = self._whole_run(request)
        for around in reversed(self._around):
            events = around(request, events)
        return events

    async def _whole_run(self, request: AgentRequest) -> AsyncGenerator[AgentEvent, None]:
        async with aclosing(self._events(request)) as events:
            try:
                async for event in events:
                    yield event
                    if event.event == EventType.ERROR:
                        return
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                yield _failure("The agent was interrupted", "CancelledError")
            except (Exception, SystemExit) as error:
                _log.exception("The agent failed")
                yield _failure(str(error) or type(error).__name__, type(error).__name__)

    async def _events(self, request: AgentRequest) -> AsyncGenerator[AgentEvent, None]:
        conversion = Conversion()
        given = 0
        async with aclosing(self._items(request)) as items:
            async for item in items:
                given += 1
                if given % _MOST_AT_ONCE == 0:
                    await asyncio.sleep(0)  # An agent that never waits would keep the loop to itself.
                told = conversion.returned(item.value) if isinstance(item, _Returned) else conversion.convert(item)
                for event in told:
                    yield event
        for event in conversion.finish():
            yield event

    async def _items(self, request: AgentRequest) -> AsyncGenerator[Any, None]:
        """What the handler gives, one thing after the other, or `_Returned`."""
        run = functools.partial(self._handler, request)
        first = _as_is(run()) if self._is_async else iterate_in_thread(lambda: _blocking(run))
        async with aclosing(first):
            async for item in first:
                if not isinstance(item, _Returned):
                    yield item
                    continue
                async with aclosing(_unfolded(item.value)) as items:
                    async for inner in items:
                        yield inner


async def _as_is(value: Any) -> AsyncGenerator[Any, None]:
    yield _Returned(value)


def _blocking(run: Callable[[], Any]) -> Generator[Any, None, None]:
    """What a blocking call answers: the values of an iterator, or the one that it is."""
    value = run()
    if _is_iterator(value):
        yield from value
    else:
        yield _Returned(value)


async def _unfolded(value: Any) -> AsyncGenerator[Any, None]:
    """What an answer comes to: coroutines are awaited, and iterators of both kinds iterated."""
    while inspect.isawaitable(value):
        value = await value
    if hasattr(value, "__aiter__"):
        iterator = aiter(value)
        try:
            async for item in iterator:
                yield item
        finally:
            await _close(iterator)
    elif _is_iterator(value):
        async with aclosing(iterate_in_thread(lambda: _blocking(lambda: value))) as items:
            async for item in items:
                yield item
    else:
        yield _Returned(value)


async def _close(iterator: Any) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


def _is_iterator(value: Any) -> bool:
    """Whether a value gives its parts one after the other: no container, and no model, whose fields are no answers."""
    if hasattr(value, "__next__"):
        return True
    if inspect.isawaitable(value):
        return False
    return hasattr(value, "__iter__") and not _is_whole(value)


def _is_whole(value: Any) -> bool:
    if isinstance(value, (str, bytes, bytearray, list, tuple, dict, set, frozenset)):
        return True
    return isinstance(value, BaseModel) or hasattr(value, "keys") or hasattr(value, "content")


def _callable(handler: Any) -> Callable[[AgentRequest], Any]:
    """What to call with a request."""
    if isinstance(handler, RunnerLike):
        return _query(handler)
    if not callable(handler):
        raise InvalidInputError(
            f"An agent cannot be a {type(cast('object', handler)).__name__}",
            field="invoke_agent",
            hint="Give a function of one request, or an object with the method query_handler(msgs, request)",
        )
    return cast("Callable[[AgentRequest], Any]", handler)


def _query(runner: RunnerLike) -> Callable[[AgentRequest], Any]:
    framework = getattr(runner, "framework_type", None)
    convert = messages_for(framework) if framework else list[Message]

    @functools.wraps(runner.query_handler)
    def query(request: AgentRequest) -> Any:
        return runner.query_handler(convert(request.messages), request)

    return query


def _is_cancelled() -> bool:
    """Whether it was the caller who cancelled, and not the agent itself; Python 3.10 cannot tell."""
    task: Any = asyncio.current_task()
    cancelling: Callable[[], int] | None = getattr(task, "cancelling", None)
    return cancelling is None or cancelling() > 0


def _failure(message: str, code: str) -> AgentEvent:
    return AgentEvent(event=EventType.ERROR, data={"message": message, "code": code})
