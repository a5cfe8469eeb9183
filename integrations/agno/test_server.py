"""Agno itself, served; and what the chat and its own events become."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from agno.media import Image
from agno.models.response import ToolExecution
from agno.run.agent import (
    CustomEvent,
    RunCancelledEvent,
    RunCompletedEvent,
    RunContentEvent,
    RunErrorEvent,
    RunOutput,
    RunPausedEvent,
    ToolCallErrorEvent,
)
from agno.run.team import RunContentEvent as TeamContentEvent

from agentrun.server import AgentEvent, EventType
from agentrun.server.conversion import Conversion
from agentrun.server.frameworks import framework_messages
from integrations.agno.server import app
from integrations.scenario.chat import DOCUMENT, PICTURE, SOUND, conversation
from integrations.scenario.served import BEFORE, RECALLED, Served, check_called, check_chat, serving

TOOL = ToolExecution(tool_call_id="c1", tool_name="look_up", tool_args={"word": "ada"}, result="a language")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(app) as found:
        yield found


def converted(*raw: Any) -> list[AgentEvent]:
    conversion = Conversion()
    return [event for each in raw for event in conversion.convert(each)]


def test_a_served_agent_calls_a_tool(served: Served) -> None:
    check_called(served.ask("Look up ada"))


def test_what_was_said_before_reaches_the_model(served: Served) -> None:
    assert served.ask(*BEFORE, "Recall").text == RECALLED


def test_a_chat_streams_the_same(served: Served) -> None:
    check_chat(served)


def test_a_failure_of_the_tool_is_told(served: Served) -> None:
    answer = served.ask("Look up nobody")
    assert answer.error is None
    assert "'nobody'" in answer.text


def test_every_part_of_a_chat_has_its_place() -> None:
    system, user, assistant, first, second, answer, last = framework_messages("agno", conversation())
    assert [message.role for message in (system, user, assistant, first, answer, last)] == [
        "system", "user", "assistant", "tool", "assistant", "user"
    ]  # fmt: skip
    assert (system.content, user.content, last.content) == ("Be brief.", "What is this?", "Hello")
    shown, linked = user.images
    assert shown.content == base64.b64decode(PICTURE)
    assert linked.url == "https://example.com/cat.jpg"
    assert (user.audio[0].content, user.audio[0].format) == (base64.b64decode(SOUND), "wav")
    assert user.videos[0].url == "https://example.com/cat.mp4"
    assert (user.files[0].content, user.files[0].filename) == (base64.b64decode(DOCUMENT), "note.txt")
    assert assistant.reasoning_content == "The weather matters."
    assert [call["id"] for call in assistant.tool_calls] == ["c1", "c2"]
    assert (second.tool_call_id, second.tool_name, second.content) == ("c2", "get_weather", "-5 degrees")


def test_a_run_that_did_not_stream_tells_all_of_it() -> None:
    run = RunOutput(content="Done.", reasoning_content="Hm.", tools=[TOOL])
    assert [event.event for event in converted(run)] == [
        EventType.REASONING, EventType.TOOL_CALL, EventType.TOOL_RESULT, EventType.TEXT
    ]  # fmt: skip


def test_the_end_of_a_stream_says_nothing_twice() -> None:
    events = converted(
        RunContentEvent(content="Do"), RunContentEvent(content="ne."), RunCompletedEvent(content="Done.")
    )
    assert [event.data for event in events] == [{"delta": "Do"}, {"delta": "ne."}]


def test_members_of_a_team_are_told_by_their_leader() -> None:
    events = converted(RunContentEvent(content="I think", parent_run_id="r1"), TeamContentEvent(content="We think"))
    assert [event.data["delta"] for event in events] == ["We think"]


def test_a_pause_is_a_question() -> None:
    asked = ToolExecution(tool_call_id="c1", tool_name="pay", tool_args={"sum": 1}, requires_confirmation=True)
    call, question = converted(RunPausedEvent(tools=[asked]))
    assert call.event == EventType.TOOL_CALL
    assert question.event == EventType.HITL
    assert (question.data["type"], question.data["prompt"]) == ("confirmation", "May pay be called?")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (RunErrorEvent(content="No.", error_type="model_error"), "model_error"),
        (RunCancelledEvent(reason="No."), "CancelledError"),
    ],
)
def test_a_run_that_fails_says_why(raw: Any, code: str) -> None:
    (event,) = converted(raw)
    assert (event.event, event.data) == (EventType.ERROR, {"message": "No.", "code": code})


def test_a_tool_that_fails_and_what_programs_tell_of_their_own() -> None:
    failed = ToolCallErrorEvent(tool=TOOL, error="No such word.")
    call, result, custom = converted(failed, CustomEvent(step=1))
    assert (call.event, result.data["result"], result.data["is_error"]) == (EventType.TOOL_CALL, "No such word.", True)
    assert (custom.event, custom.data["value"]["step"]) == (EventType.CUSTOM, 1)


def test_a_picture_is_shown_once() -> None:
    picture = Image(content=base64.b64decode(PICTURE), mime_type="image/png")
    (event,) = converted(RunContentEvent(image=picture), RunCompletedEvent(images=[picture]))
    assert (event.data["name"], event.data["value"]["data"]) == ("image", PICTURE)
