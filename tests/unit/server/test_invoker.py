"""Whatever an agent is made of: its events come, its errors are told, and it never keeps others waiting."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from pydantic import BaseModel

from agentrun.errors import InvalidInputError
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.invoker import AgentInvoker
from agentrun.server.model import AgentRequest, Message, MessageRole

pytestmark = pytest.mark.asyncio

REQUEST = AgentRequest(messages=[Message(role=MessageRole.USER, content="Ada")])
PATIENCE = 60.0


def greeting(request: AgentRequest) -> str:
    return f"Hello {request.messages[-1].text}"


def function(request: AgentRequest) -> str:
    return greeting(request)


async def coroutine(request: AgentRequest) -> str:
    await asyncio.sleep(0)
    return greeting(request)


def generator(request: AgentRequest) -> Iterator[str]:
    yield from greeting(request).partition(" ")


async def async_generator(request: AgentRequest) -> AsyncIterator[str]:
    for part in greeting(request).partition(" "):
        await asyncio.sleep(0)
        yield part


def returns_coroutine(request: AgentRequest) -> Awaitable[str]:
    return coroutine(request)


def returns_async_generator(request: AgentRequest) -> AsyncIterator[str]:
    return async_generator(request)


async def returns_generator(request: AgentRequest) -> Iterator[str]:
    return generator(request)


async def returns_async_generator_late(request: AgentRequest) -> AsyncIterator[str]:
    return async_generator(request)


class Object:
    def __call__(self, request: AgentRequest) -> str:
        return greeting(request)


class AsyncObject:
    async def __call__(self, request: AgentRequest) -> str:
        return await coroutine(request)

    async def method(self, request: AgentRequest) -> str:
        return await coroutine(request)


class AsyncGeneratorObject:
    async def __call__(self, request: AgentRequest) -> AsyncIterator[str]:
        async for part in async_generator(request):
            yield part


class Runner:
    async def query_handler(self, msgs: list[Message], request: AgentRequest | None = None, **_: Any) -> Any:
        assert request is not None
        yield f"Hello {msgs[-1].text}"


async def with_more(_: str, request: AgentRequest) -> str:
    return greeting(request)


HANDLERS: list[Any] = [
    function,
    coroutine,
    generator,
    async_generator,
    returns_coroutine,
    returns_async_generator,
    returns_generator,
    returns_async_generator_late,
    Object(),
    AsyncObject(),
    AsyncObject().method,
    AsyncGeneratorObject(),
    Runner(),
    Runner,
    functools.partial(with_more, "x"),
    functools.partial(functools.partial(with_more), "x"),
]


def text_of(events: list[AgentEvent]) -> str:
    assert {event.event for event in events} <= {EventType.TEXT}
    return "".join(event.data["delta"] for event in events)


@pytest.mark.parametrize("handler", HANDLERS)
async def test_every_kind_of_handler_answers(handler: Any) -> None:
    assert text_of(await AgentInvoker(handler).invoke(REQUEST)) == "Hello Ada"
    assert text_of([event async for event in AgentInvoker(handler).invoke_stream(REQUEST)]) == "Hello Ada"


async def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="An agent cannot be a dict") as raised:
        AgentInvoker({})  # type: ignore[arg-type]  # On purpose.
    assert "query_handler" in str(raised.value.hint)


class Answer(BaseModel):
    content: str


class Facts(BaseModel):
    capital: str


@pytest.mark.parametrize(
    ("answer", "text"),
    [(Answer(content="Paris"), "Paris"), (Facts(capital="Paris"), '{"capital":"Paris"}'), (["a", "b"], "ab")],
)
async def test_a_model_is_an_answer_and_no_stream(answer: Any, text: str) -> None:
    async def later(_: AgentRequest) -> Any:
        return answer

    assert text_of(await AgentInvoker(lambda _: answer).invoke(REQUEST)) == text
    assert text_of(await AgentInvoker(later).invoke(REQUEST)) == text


def fails_at_once(_: AgentRequest) -> str:
    raise ValueError("no luck")


def fails_between(_: AgentRequest) -> Iterator[str]:
    yield "one"
    raise ValueError("no luck")


async def fails_async(_: AgentRequest) -> str:
    raise ValueError("no luck")


async def fails_between_async(_: AgentRequest) -> AsyncIterator[str]:
    yield "one"
    raise ValueError("no luck")


@pytest.mark.parametrize("handler", [fails_at_once, fails_between, fails_async, fails_between_async])
async def test_an_error_is_the_last_event_of_a_stream_and_raised_otherwise(handler: Any) -> None:
    events = [event async for event in AgentInvoker(handler).invoke_stream(REQUEST)]
    assert events[-1] == AgentEvent(event=EventType.ERROR, data={"message": "no luck", "code": "ValueError"})
    assert text_of(events[:-1]) == ("one" if "between" in handler.__name__ else "")
    with pytest.raises(ValueError, match="no luck"):
        await AgentInvoker(handler).invoke(REQUEST)


def exits(_: AgentRequest) -> str:
    raise SystemExit(3)


async def exits_async(_: AgentRequest) -> str:
    raise SystemExit(3)


def stops(_: AgentRequest) -> str:
    raise StopIteration("x")


async def times_out(_: AgentRequest) -> str:
    asyncio.get_running_loop().create_task(asyncio.sleep(0))
    raise asyncio.CancelledError


@pytest.mark.parametrize("handler", [exits, exits_async, stops])
async def test_nothing_that_an_agent_raises_ends_the_server(handler: Any) -> None:
    (event,) = [event async for event in AgentInvoker(handler).invoke_stream(REQUEST)]
    assert event.event == EventType.ERROR


@pytest.mark.skipif(not hasattr(asyncio.Task, "cancelling"), reason="Python 3.10 cannot tell who cancelled")
async def test_an_agent_that_cancels_itself_is_told_as_an_error() -> None:
    (event,) = [event async for event in AgentInvoker(times_out).invoke_stream(REQUEST)]
    assert event.data["code"] == "CancelledError"


async def test_nothing_comes_behind_an_error_that_the_agent_told() -> None:
    def handler(_: AgentRequest) -> Iterator[Any]:
        yield AgentEvent(event=EventType.ERROR, data={"message": "m", "code": "c"})
        yield "more"

    assert [event.event async for event in AgentInvoker(handler).invoke_stream(REQUEST)] == [EventType.ERROR]


async def test_any_number_of_blocking_handlers_run_at_once_and_the_loop_goes_on() -> None:
    everybody = threading.Barrier(100)

    def handler(_: AgentRequest) -> str:
        everybody.wait(PATIENCE)  # Passed only when all of them are inside.
        return "done"

    invoker = AgentInvoker(handler)
    answers = await asyncio.gather(*(invoker.invoke(REQUEST) for _ in range(100)))
    assert {text_of(answer) for answer in answers} == {"done"}


async def test_a_value_of_a_blocking_generator_comes_before_the_next_one_is_made() -> None:
    go_on = threading.Event()

    def handler(_: AgentRequest) -> Iterator[str]:
        yield "one"
        assert go_on.wait(PATIENCE)
        yield "two"

    events = AgentInvoker(handler).invoke_stream(REQUEST)
    assert (await anext(events)).data == {"delta": "one"}
    go_on.set()
    assert (await anext(events)).data == {"delta": "two"}
    await events.aclose()


async def test_a_blocking_generator_waits_for_who_takes_its_values_and_is_closed_with_them() -> None:
    made: list[int] = []
    closed = threading.Event()

    def handler(_: AgentRequest) -> Iterator[str]:
        try:
            for number in range(100_000):
                made.append(number)
                yield str(number)
        finally:
            closed.set()

    events = AgentInvoker(handler).invoke_stream(REQUEST)
    await anext(events)
    await asyncio.sleep(0.2)  # It could make all of them in this time, if nothing held it back.
    assert len(made) < 1000
    await events.aclose()
    assert await asyncio.to_thread(closed.wait, PATIENCE)


async def test_all_values_come_in_order() -> None:
    def handler(_: AgentRequest) -> Iterator[str]:
        for number in range(5000):
            yield f"{number},"

    expected = "".join(f"{number}," for number in range(5000))
    assert text_of(await AgentInvoker(handler).invoke(REQUEST)) == expected


async def test_cancelling_reaches_an_async_handler_where_it_waits() -> None:
    waiting, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(_: AgentRequest) -> AsyncIterator[str]:
        yield "one"
        waiting.set()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    await _cancel_when(waiting, AgentInvoker(handler))
    assert cancelled.is_set()


async def test_cancelling_does_not_wait_for_a_blocking_handler() -> None:
    waiting, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def handler(_: AgentRequest) -> str:
        loop.call_soon_threadsafe(waiting.set)
        go_on.wait(PATIENCE)
        return "late"

    began = time.monotonic()
    await _cancel_when(waiting, AgentInvoker(handler))
    go_on.set()
    assert time.monotonic() - began < PATIENCE / 2


async def _cancel_when(waiting: asyncio.Event, invoker: AgentInvoker) -> None:
    async def take() -> None:
        async for _ in invoker.invoke_stream(REQUEST):
            pass

    task = asyncio.create_task(take())
    await asyncio.wait_for(waiting.wait(), PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


VISITOR: ContextVar[str] = ContextVar("visitor")


@pytest.mark.parametrize("kind", [function, generator])
async def test_blocking_handlers_see_the_context_of_the_request(kind: Callable[[AgentRequest], Any]) -> None:
    def returns(_: AgentRequest) -> str:
        return VISITOR.get()

    def yields(_: AgentRequest) -> Iterator[str]:
        yield VISITOR.get()

    VISITOR.set("Ada")
    handler = returns if kind is function else yields
    assert text_of(await AgentInvoker(handler).invoke(REQUEST)) == "Ada"
