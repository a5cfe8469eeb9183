"""A2A's tasks: asked for, canceled, listened to again, continued, listed; and what becomes of them without a client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain
from typing import Any

import httpx
import pytest

from agentrun.server import A2AProtocolConfig, AgentRequest, ServerConfig
from tests.unit.server.a2a.agents import Listening, Waiting
from tests.unit.server.a2a.clients import (
    FIRST_LINE,
    LINES,
    Heard,
    RefusedError,
    Speaker,
    streamed,
    talk,
    text,
    whole,
)
from tests.unit.server.agents import agent, event
from tests.unit.server.serving import PATIENCE, Served, serving

every_line = pytest.mark.parametrize("line", LINES)
NOT_FOUND, NOT_CANCELABLE, NO_PUSH, UNSUPPORTED = -32001, -32002, -32003, -32004
DONE = ("completed", "one two")
UNKNOWN = "00000000-0000-0000-0000-000000000000"


async def refused(*calls: Any) -> list[int]:
    """With which errors calls are answered."""
    codes: list[int] = []
    for call in calls:
        with pytest.raises(RefusedError) as raised:
            await call
        codes.append(raised.value.code)
    return codes


async def heard_of(events: Any) -> list[Heard]:
    return [each async for each in events]


async def until_it_rests(speaker: Speaker, task_id: str) -> list[Heard]:
    """The task when it has ended, asked for again and again as a client does that cannot listen."""
    for _ in range(int(PATIENCE * 50)):
        task = await speaker.get(task_id)
        if task.state not in ("submitted", "working"):
            return [task]
        await asyncio.sleep(0.02)
    return []


async def until_it_waits(waiting: Waiting) -> None:
    assert await asyncio.to_thread(waiting.waits.wait, PATIENCE)


@every_line
def test_a_task_can_be_asked_for(line: str) -> None:
    async def conversation(speaker: Speaker) -> None:
        task = await speaker.send(text("hi"))
        again = await speaker.get(task.task_id)
        assert again.document == task.document
        assert await refused(speaker.get(UNKNOWN)) == [NOT_FOUND]

    with serving(agent("Hello")) as served:
        talk(served, line, conversation)


@every_line
def test_as_many_messages_are_shown_as_are_asked_for(line: str) -> None:
    async def conversation(speaker: Speaker) -> None:
        task = await speaker.send(text("hi"), history=1)
        assert [said["metadata"]["type"] for said in task.history] == ["tool_result"]
        counts = [len((await speaker.get(task.task_id, number)).history) for number in (2, 9)]
        assert counts == [2, 3]
        assert len((await speaker.get(task.task_id, 0)).history) == (3 if line == "0.3" else 0)

    call = event("TOOL_CALL", id="t", name="add", args="{}")
    with serving(agent(call, event("TOOL_RESULT", id="t", result="2"))) as served:
        talk(served, line, conversation)


@every_line
def test_a_task_that_runs_can_be_canceled_once(line: str) -> None:
    waiting = Waiting()

    async def conversation(speaker: Speaker) -> None:
        events = speaker.stream(text("hi"))
        first = await anext(events)
        rest = asyncio.create_task(heard_of(events))
        await until_it_waits(waiting)
        canceled = await speaker.cancel(first.task_id)
        assert (canceled.state, canceled.text) == ("canceled", "one")
        assert (await rest)[-1].state == "canceled"
        assert (await speaker.get(first.task_id)).state == "canceled"
        codes = await refused(speaker.cancel(first.task_id), speaker.cancel(UNKNOWN))
        assert codes == [NOT_CANCELABLE, NOT_FOUND]

    with serving(waiting) as served:
        talk(served, line, conversation)
        assert waiting.stopped.wait(PATIENCE)


@every_line
def test_an_answer_that_nobody_waits_for_is_asked_for_later(line: str) -> None:
    waiting = Waiting()

    async def conversation(speaker: Speaker) -> None:
        task = await speaker.send(text("hi"), waits=False)
        assert task.state == "submitted"
        await until_it_waits(waiting)
        now = await speaker.get(task.task_id)
        assert (now.state, now.text) == ("working", "one")
        waiting.go_on.set()
        assert [(each.state, each.text) for each in await until_it_rests(speaker, task.task_id)] == [DONE]

    with serving(waiting) as served:
        talk(served, line, conversation)


@every_line
def test_a_task_goes_on_without_its_client_who_can_listen_again(line: str) -> None:
    waiting = Waiting()

    async def leave(speaker: Speaker) -> str:
        events: Any = speaker.stream(text("hi"))
        first = await anext(events)
        await until_it_waits(waiting)
        await events.aclose()
        return str(first.task_id)

    async def come_back(speaker: Speaker) -> list[Heard]:
        events = speaker.resubscribe(task_id)
        first = await anext(events)
        waiting.go_on.set()
        return [first, *await heard_of(events)]

    async def listen_to_nothing(speaker: Speaker) -> list[int]:
        return await refused(*(heard_of(speaker.resubscribe(each)) for each in (task_id, UNKNOWN)))

    with serving(waiting) as served:
        task_id = talk(served, line, leave)
        found = talk(served, line, come_back)
        whole_task = talk(served, line, lambda speaker: speaker.get(task_id))
        codes = talk(served, line, listen_to_nothing)
    assert [(each.kind, each.text) for each in found] == [("task", "one"), ("artifact", " two"), ("status", "")]
    assert (found[0].state, found[-1].state, whole_task.text) == ("working", "completed", "one two")
    assert not waiting.stopped.is_set()
    assert codes == [UNSUPPORTED, NOT_FOUND]


def test_two_who_listen_hear_the_same() -> None:
    waiting = Waiting()

    async def conversation(speaker: Speaker) -> None:
        events = speaker.stream(text("hi"))
        first = await anext(events)
        rest = asyncio.create_task(heard_of(events))
        await until_it_waits(waiting)
        other = speaker.resubscribe(first.task_id)
        await anext(other)
        waiting.go_on.set()
        assert [each.document for each in (await rest)[-2:]] == [each.document for each in await heard_of(other)]

    with serving(waiting) as served:
        talk(served, LINES[0], conversation)


SOON = ServerConfig(a2a=A2AProtocolConfig(keep_running_seconds=0.2))


@every_line
def test_a_task_that_nobody_listens_to_does_not_go_on_for_ever(line: str) -> None:
    waiting = Waiting()

    async def leave(speaker: Speaker) -> str:
        events: Any = speaker.stream(text("hi"))
        first = await anext(events)
        await until_it_waits(waiting)
        await asyncio.sleep(1)  # Longer than it would go on without us.
        assert not waiting.stopped.is_set()
        await events.aclose()
        return str(first.task_id)

    with serving(waiting, SOON) as served:
        task_id = talk(served, line, leave)
        assert waiting.stopped.wait(PATIENCE)
        task = talk(served, line, lambda speaker: speaker.get(task_id))
    assert task.state == "canceled"


def test_an_agent_is_stopped_when_nobody_waits_for_its_answer_any_more() -> None:
    waiting = Waiting()
    message = {"role": "user", "messageId": "1", "parts": [{"kind": "text", "text": "hi"}]}
    body = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": message}}

    async def leave() -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            asking = asyncio.create_task(http.post(f"{served.root}/a2a", json=body, timeout=PATIENCE))
            await until_it_waits(waiting)
            assert not waiting.stopped.is_set()
            asking.cancel()

    with serving(waiting) as served:
        asyncio.run(leave())
        assert waiting.stopped.wait(PATIENCE)


def test_tasks_end_with_their_server() -> None:
    waiting = Waiting()

    async def conversation(speaker: Speaker) -> None:
        await speaker.send(text("hi"), waits=False)
        await until_it_waits(waiting)

    with serving(waiting) as served:
        talk(served, LINES[0], conversation)
        assert not waiting.stopped.is_set()
    assert waiting.stopped.is_set()


def test_an_agent_is_held_back_when_nobody_reads() -> None:
    made = [0]

    def handler(_: AgentRequest) -> Iterator[str]:
        for _number in range(3_000):
            made[0] += 1
            yield "x" * 10_000

    async def conversation(speaker: Speaker) -> int:
        events = speaker.stream(text("hi"))
        await anext(events)
        before = -1
        while before != made[0]:  # Until it stands still.
            before = made[0]
            await asyncio.sleep(0.5)
        assert 0 < before < 2_900
        return sum(len(each.text) for each in await heard_of(events))

    with serving(handler) as served:
        assert talk(served, LINES[0], conversation) == 30_000_000


class Asking:
    """An agent that asks a person before it answers."""

    def __init__(self) -> None:
        self.requests: list[AgentRequest] = []

    def __call__(self, request: AgentRequest) -> Iterator[Any]:
        self.requests.append(request)
        if len(self.requests) == 1:
            yield event("HITL", id="h", type="confirm", prompt="May I?")
        else:
            yield "done"


@every_line
def test_a_question_is_answered_in_the_same_task(line: str) -> None:
    asking = Asking()

    with serving(asking) as served:
        first = whole(served, line, text("rm"))
        assert (first.state, first.text) == ("input-required", "May I?")
        events = streamed(served, line, text("yes"), taskId=first.task_id)
        last = talk(served, line, lambda speaker: speaker.get(first.task_id))
        with pytest.raises(RefusedError) as raised:
            whole(served, line, text("more"), taskId=first.task_id)
    assert {each.task_id for each in events} == {first.task_id}
    assert (last.state, last.text, last.context_id) == ("completed", "done", first.context_id)
    assert [said["parts"] for said in last.history if said["role"] == "user"] == [[text("rm")], [text("yes")]]
    assert [request.session_id for request in asking.requests] == [first.context_id] * 2
    assert raised.value.code == UNSUPPORTED


@every_line
def test_a_message_to_no_task_or_to_one_of_another_context_is_refused(line: str) -> None:
    with serving(Asking()) as served:
        task = whole(served, line, text("rm"))
        with pytest.raises(RefusedError) as raised:
            whole(served, line, taskId=task.task_id, contextId="other")
        assert raised.value.code == -32602
        with pytest.raises(RefusedError) as raised:
            whole(served, line, taskId=UNKNOWN)
        assert raised.value.code == NOT_FOUND


@every_line
def test_push_notifications_are_refused(line: str) -> None:
    with serving(agent("x")) as served:
        assert talk(served, line, lambda speaker: refused(speaker.set_push(UNKNOWN))) == [NO_PUSH]


def test_old_tasks_make_room_for_new_ones_and_running_ones_stay() -> None:
    waiting = Waiting()

    async def handler(request: AgentRequest) -> Any:
        return waiting(request) if request.messages[0].text == "wait" else "ok"

    async def conversation(speaker: Speaker) -> None:
        running = await speaker.send(text("wait"), waits=False)
        await until_it_waits(waiting)
        tasks = [await speaker.send(text("hi")) for _ in range(3)]
        assert (await speaker.get(running.task_id)).state == "working"
        assert await refused(speaker.get(tasks[0].task_id), speaker.get(tasks[1].task_id)) == [NOT_FOUND] * 2
        assert (await speaker.get(tasks[2].task_id)).state == "completed"

    with serving(handler, ServerConfig(a2a=A2AProtocolConfig(most_tasks=2))) as served:
        talk(served, LINES[0], conversation)


@pytest.mark.skipif(FIRST_LINE, reason="tasks can be listed since 1.0")
class TestListing:
    """Lists of tasks, which 1.0 has."""

    def listed(self, served: Served, key: str = "", **params: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return talk(served, "1.0", lambda speaker: speaker.list(**params), **headers)

    def ask(self, served: Served, key: str = "", **message: Any) -> Heard:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return talk(served, "1.0", lambda speaker: speaker.send(text("hi"), **message), **headers)

    def test_they_come_in_pages_the_last_ones_first(self) -> None:
        with serving(Listening()) as served:
            tasks = [self.ask(served, contextId="C").task_id for _ in range(5)]
            pages: list[dict[str, Any]] = []
            token = ""
            while token or not pages:
                pages.append(self.listed(served, contextId="C", pageSize=2, pageToken=token))
                token = pages[-1].get("nextPageToken", "")
        shown = [[task["id"] for task in page["tasks"]] for page in pages]
        assert ([len(page) for page in shown], [*chain(*shown)]) == ([2, 2, 1], tasks[::-1])
        assert [(page["totalSize"], page["pageSize"]) for page in pages] == [(5, 2)] * 3

    def test_they_are_chosen_by_state_and_time_and_shown_as_it_was_asked(self) -> None:
        with serving(agent(RuntimeError("no luck"))) as served:
            failed = self.ask(served, contextId="C")
            short = self.listed(served, contextId="C", historyLength=0)["tasks"][0]
            full = self.listed(served, contextId="C", includeArtifacts=True, status="TASK_STATE_FAILED")["tasks"][0]
            none = self.listed(served, contextId="C", status="TASK_STATE_COMPLETED")
            later = self.listed(served, contextId="C", statusTimestampAfter="2999-01-01T00:00:00Z")
        assert (short["id"], "history" in short, len(full["history"])) == (failed.task_id, False, 1)
        assert [page.get("totalSize", 0) for page in (none, later)] == [0, 0]

    def test_nobody_sees_those_of_others(self) -> None:
        with serving(Listening()) as served:
            for key, context in (("ada", "A"), ("bob", "B"), ("", "N")):
                self.ask(served, key, contextId=context)
            seen = {
                key: [task["contextId"] for task in self.listed(served, key).get("tasks", [])]
                for key in ("ada", "bob", "eve", "")
            }
            known = self.listed(served, contextId="N")["tasks"]
            foreign = self.listed(served, "ada", contextId="B").get("tasks", [])
        assert seen == {"ada": ["A"], "bob": ["B"], "eve": [], "": []}
        assert ([task["contextId"] for task in known], foreign) == (["N"], [])

    @pytest.mark.parametrize("params", [{"pageSize": 101}, {"pageToken": "x"}])
    def test_what_cannot_be_listed_is_refused(self, params: Any) -> None:
        with serving(agent("x")) as served:
            self.ask(served, contextId="C")
            with pytest.raises(RefusedError) as raised:
                self.listed(served, contextId="C", **params)
        assert raised.value.code == -32602
