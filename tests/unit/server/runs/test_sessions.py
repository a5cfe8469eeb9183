"""One run at a time for each session, and an end to it on demand, in one server and in several."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from agentrun.server.events import AgentEvent
from agentrun.server.invoker import AgentInvoker
from agentrun.server.model import AgentRequest
from agentrun.server.runs.sessions import Sessions
from tests.unit.server.runs.conftest import LEASE_SECONDS

pytestmark = pytest.mark.asyncio

PATIENCE = 30.0
MakeSessions = Callable[[], Sessions]


def question(session_id: str | None = "s", user_id: str | None = "u") -> AgentRequest:
    return AgentRequest(session_id=session_id, user_id=user_id)


def told(events: list[AgentEvent]) -> list[Any]:
    """Texts as they are, and the codes of errors."""
    return [event.data.get("delta", event.data.get("code")) for event in events]


class Waiting:
    """An agent that says that it began, and ends when it is let."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.runs = 0
        self.cancelled = 0

    async def __call__(self, request: AgentRequest) -> AsyncIterator[str]:
        self.runs += 1
        self.began.set()
        yield "began"
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        yield "ended"


class Running:
    """A run whose events are taken as they come."""

    def __init__(self, handler: Any, sessions: Sessions, request: AgentRequest) -> None:
        self.events: list[AgentEvent] = []
        self._stream = AgentInvoker(handler, [sessions.around]).invoke_stream(request)
        self.task = asyncio.create_task(self._take())

    async def _take(self) -> list[Any]:
        async with aclosing(self._stream):
            async for event in self._stream:
                self.events.append(event)
        return told(self.events)

    async def result(self) -> list[Any]:
        with anyio.fail_after(PATIENCE):
            return await self.task


async def until(condition: Callable[[], Any]) -> None:
    with anyio.fail_after(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


async def run(handler: Any, sessions: Sessions, request: AgentRequest) -> list[Any]:
    return await Running(handler, sessions, request).result()


async def begun(agent: Waiting, sessions: Sessions, request: AgentRequest) -> Running:
    agent.began.clear()
    running = Running(agent, sessions, request)
    with anyio.fail_after(PATIENCE):
        await agent.began.wait()
    return running


async def test_a_second_run_of_a_session_is_refused_until_the_first_is_over(make_sessions: MakeSessions) -> None:
    agent, one, other = Waiting(), make_sessions(), make_sessions()
    first = await begun(agent, one, question())
    refused = Running(agent, other, question())
    assert await refused.result() == ["SESSION_BUSY"]
    data = refused.events[0].data
    assert data["status"] == 409
    assert "'s'" in data["message"]
    assert "stop" in data["message"]
    agent.may_end.set()
    assert await first.result() == ["began", "ended"]
    assert await run(agent, other, question()) == ["began", "ended"]
    assert agent.runs == 2


async def test_other_sessions_and_other_users_are_not_in_the_way(make_sessions: MakeSessions) -> None:
    agent, sessions = Waiting(), make_sessions()
    names = [("s", "u"), ("s", "v"), ("t", "u"), ("s", None), ("v:s", "u"), ("s", "u:v")]
    runs = [await begun(agent, sessions, question(*name)) for name in names]
    agent.may_end.set()
    assert [await each.result() for each in runs] == [["began", "ended"]] * len(names)


async def test_anonymous_runs_never_meet(make_sessions: MakeSessions) -> None:
    agent, sessions = Waiting(), make_sessions()
    runs = [Running(agent, sessions, question(None, None)) for _ in range(100)]
    await until(lambda: agent.runs == 100)
    agent.may_end.set()
    assert [await each.result() for each in runs] == [["began", "ended"]] * 100


async def test_of_many_at_once_one_gets_the_session(make_sessions: MakeSessions) -> None:
    agent, servers = Waiting(), [make_sessions() for _ in range(4)]
    runs = [Running(agent, servers[i % 4], question()) for i in range(40)]
    await until(lambda: sum(each.task.done() for each in runs) == 39)
    agent.may_end.set()
    results = [await each.result() for each in runs]
    assert sorted(results) == [["SESSION_BUSY"]] * 39 + [["began", "ended"]]


async def test_a_stopped_run_ends_and_the_agent_knows_it(make_sessions: MakeSessions) -> None:
    agent, one, other = Waiting(), make_sessions(), make_sessions()
    running = await begun(agent, one, question())
    began = time.monotonic()
    assert await other.stop("u", "s")
    assert time.monotonic() - began < 0.5
    assert await running.result() == ["began", "CancelledError"]
    assert agent.cancelled == 1
    assert not await other.stop("u", "s")
    agent.may_end.set()
    assert await run(agent, other, question()) == ["began", "ended"]


async def test_a_session_without_a_user_is_stopped_by_its_name(make_sessions: MakeSessions) -> None:
    agent, sessions = Waiting(), make_sessions()
    for user in (None, "s"):
        running = await begun(agent, sessions, question("s", None))
        assert not await sessions.stop("somebody", "s")
        assert await sessions.stop(user, "s")
        assert await running.result() == ["began", "CancelledError"]


async def test_a_stop_stops_nothing_that_comes_later(make_sessions: MakeSessions) -> None:
    agent, sessions = Waiting(), make_sessions()
    assert not await sessions.stop("u", "s")
    agent.may_end.set()
    assert await run(agent, sessions, question()) == ["began", "ended"]


async def test_a_run_that_stops_itself_ends(make_sessions: MakeSessions) -> None:
    sessions = make_sessions()

    async def agent(request: AgentRequest) -> AsyncIterator[str]:
        yield "began"
        await sessions.stop("u", "s")
        await asyncio.sleep(PATIENCE)
        yield "still here"

    assert await run(agent, sessions, question()) == ["began", "CancelledError"]


async def test_a_blocking_agent_is_left_behind(make_sessions: MakeSessions) -> None:
    sessions, may_end = make_sessions(), threading.Event()

    def agent(request: AgentRequest) -> Iterator[str]:
        yield "began"
        may_end.wait(PATIENCE)
        yield "ended"

    running = Running(agent, sessions, question())
    await until(lambda: running.events)
    try:
        assert await sessions.stop("u", "s")
        assert await running.result() == ["began", "CancelledError"]
        assert not may_end.is_set()
    finally:
        may_end.set()


async def test_a_run_is_stopped_where_its_events_are_told(make_sessions: MakeSessions) -> None:
    """The agent stands at its `yield`; it meets the interruption at its next `await`."""
    sessions, cancelled = make_sessions(), asyncio.Event()

    async def agent(request: AgentRequest) -> AsyncIterator[str]:
        try:
            yield "one"
            await asyncio.sleep(0)
            yield "two"
        except asyncio.CancelledError:
            cancelled.set()
            raise

    stream = AgentInvoker(agent, [sessions.around]).invoke_stream(question())
    async with aclosing(stream):
        first = await anext(stream)
        stopping = asyncio.create_task(sessions.stop("u", "s"))
        await asyncio.sleep(0.1)
        rest = [event async for event in stream]
        assert await stopping
    assert told([first, *rest]) == ["one", "CancelledError"]
    assert cancelled.is_set()


async def test_a_stopped_run_that_nobody_reads_gives_the_session_free(make_sessions: MakeSessions) -> None:
    agent, sessions = Waiting(), make_sessions()
    agent.may_end.set()
    stream = AgentInvoker(agent, [sessions.around]).invoke_stream(question())
    async with aclosing(stream):
        await anext(stream)
        assert await asyncio.create_task(sessions.stop("u", "s"))  # Its time-out is none of this task's business.
        with anyio.fail_after(PATIENCE):
            assert await first_that_runs(agent, sessions) == ["began", "ended"]
        assert told([event async for event in stream]) == ["CancelledError"]


async def first_that_runs(agent: Waiting, sessions: Sessions) -> list[Any]:
    while True:
        result = await run(agent, sessions, question())
        if result != ["SESSION_BUSY"]:
            return result
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("swallows", ["yields", "ends", "fails"])
async def test_an_agent_that_swallows_the_interruption_ends_all_the_same(
    make_sessions: MakeSessions, swallows: str
) -> None:
    sessions, closed = make_sessions(), asyncio.Event()

    async def agent(request: AgentRequest) -> AsyncIterator[str]:
        try:
            yield "began"
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                if swallows == "fails":
                    raise ValueError("no") from None
            while swallows == "yields":
                yield "more"
        finally:
            closed.set()

    running = Running(agent, sessions, question())
    await until(lambda: running.events)
    assert await sessions.stop("u", "s")
    assert await running.result() == ["began", "CancelledError"]
    assert closed.is_set()
    # Nothing of the interruption stays behind in the task.
    assert await run(agent_that_says_hello, sessions, question()) == ["hello"]


async def agent_that_says_hello(request: AgentRequest) -> str:
    await asyncio.sleep(0)
    return "hello"


async def test_what_comes_behind_an_interrupted_run_in_its_task_is_not_interrupted(
    make_sessions: MakeSessions,
) -> None:
    sessions, slept = make_sessions(), asyncio.Event()

    async def fast(request: AgentRequest) -> AsyncGenerator[str, None]:
        while True:
            yield "on and on"

    async def taker() -> list[Any]:
        events: list[AgentEvent] = []
        async with aclosing(AgentInvoker(fast, [sessions.around]).invoke_stream(question())) as stream:
            async for event in stream:
                if not events:
                    stopping.append(asyncio.create_task(sessions.stop("u", "s")))
                events.append(event)
        await asyncio.sleep(0.01)
        slept.set()
        return told(events)

    stopping: list[asyncio.Task[bool]] = []
    with anyio.fail_after(PATIENCE):
        result = await taker()
    assert result[-1] == "CancelledError"
    assert set(result[:-1]) == {"on and on"}
    assert slept.is_set()
    assert await stopping[0]


async def test_whoever_goes_away_frees_the_session(make_sessions: MakeSessions) -> None:
    agent, sessions = Waiting(), make_sessions()
    running = await begun(agent, sessions, question())
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task
    assert agent.cancelled == 1
    agent.may_end.set()
    assert await run(agent, sessions, question()) == ["began", "ended"]


async def test_a_failed_run_frees_the_session(make_sessions: MakeSessions) -> None:
    sessions = make_sessions()

    async def fails(request: AgentRequest) -> str:
        raise ValueError("no")

    assert await run(fails, sessions, question()) == ["ValueError"]
    assert await run(agent_that_says_hello, sessions, question()) == ["hello"]


async def test_a_session_is_kept_as_long_as_its_run_lasts(make_sessions: MakeSessions) -> None:
    agent, one, other = Waiting(), make_sessions(), make_sessions()
    running = await begun(agent, one, question())
    await asyncio.sleep(2 * LEASE_SECONDS)
    assert await run(agent, other, question()) == ["SESSION_BUSY"]
    agent.may_end.set()
    assert await running.result() == ["began", "ended"]


async def test_a_run_is_stopped_from_another_event_loop(make_sessions: MakeSessions) -> None:
    agent, sessions = Waiting(), make_sessions()
    running = await begun(agent, sessions, question())
    stopped = await asyncio.to_thread(lambda: asyncio.run(sessions.stop("u", "s")))
    assert stopped
    assert await running.result() == ["began", "CancelledError"]
