"""A2A in both lines, with the package's own clients over TCP: what an agent does, as a task."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.server.a2a.agents import Listening
from tests.unit.server.a2a.clients import LINES, PNG, Heard, heard, raw, streamed, text, whole
from tests.unit.server.agents import agent, event
from tests.unit.server.serving import serving

pytestmark = pytest.mark.parametrize("line", LINES)


def both(line: str, *items: Any) -> tuple[list[Heard], Heard]:
    """What is heard of an agent that gives these, piece by piece and as a whole."""
    with serving(agent(*items)) as served:
        return streamed(served, line), whole(served, line)


def answers(events: list[Heard]) -> list[dict[str, Any]]:
    return [part for each in events if each.kind == "artifact" for part in each.parts]


def notes(events: list[Heard], kind: str) -> list[Any]:
    """What was told on the way."""
    return [each.parts[0] for each in events if each.kind == "status" and each.about.get("type") == kind]


def kept(task: Heard, kind: str) -> list[Any]:
    """What the task remembers of that."""
    return [said["parts"][0] for said in task.history if said.get("metadata", {}).get("type") == kind]


def test_text(line: str) -> None:
    events, task = both(line, "Hel", "lo")
    assert [each.kind for each in events] == ["task", "status", "artifact", "artifact", "status"]
    assert answers(events) == [text("Hel"), text("lo")]
    assert (events[-1].state, task.state, task.parts) == ("completed", "completed", [text("Hello")])
    assert [said["role"] for said in task.history] == ["user"]


def test_nothing_said(line: str) -> None:
    events, task = both(line)
    assert [each.state for each in events] == ["submitted", "working", "completed"]
    assert (task.state, task.document.get("artifacts", [])) == ("completed", [])


def test_reasoning_is_told_on_the_way_and_is_no_answer(line: str) -> None:
    events, task = both(line, event("REASONING", delta="h"), event("REASONING", delta="m"), "so")
    assert notes(events, "reasoning") == [text("h"), text("m")]
    assert answers(events) == task.parts == [text("so")]
    assert kept(task, "reasoning") == [text("hm")]


CALL = {"id": "t", "name": "add", "arguments": {"x": 1}}
WHOLE = [event("TOOL_CALL", id="t", name="add", args='{"x":1}')]
IN_PIECES = [
    event("TOOL_CALL_CHUNK", id="t", name="add", args_delta='{"x"'),
    event("TOOL_CALL_CHUNK", id="t", args_delta=":1}"),
]


@pytest.mark.parametrize("calls", [WHOLE, IN_PIECES, IN_PIECES + WHOLE], ids=["whole", "in pieces", "both"])
def test_one_tool_with_its_result(line: str, calls: list[Any]) -> None:
    events, task = both(line, "I add", *calls, event("TOOL_RESULT", id="t", result={"sum": 2}), "2")
    result = {"id": "t", "name": "add", "result": '{"sum": 2}'}
    assert notes(events, "tool_call") == kept(task, "tool_call") == [{"data": CALL}]
    assert notes(events, "tool_result") == kept(task, "tool_result") == [{"data": result}]
    assert (answers(events), task.parts) == ([text("I add"), text("2")], [text("I add2")])


def test_parallel_tools_whose_pieces_are_mixed(line: str) -> None:
    events, task = both(
        line,
        event("TOOL_CALL_CHUNK", id="a", name="add", args_delta='{"x"'),
        event("TOOL_CALL_CHUNK", id="b", name="sub", args_delta="{"),
        event("TOOL_CALL_CHUNK", id="a", args_delta=":1}"),
        event("TOOL_CALL_CHUNK", id="b", args_delta="}"),
        event("TOOL_RESULT_CHUNK", id="a", delta="o"),
        event("TOOL_RESULT", id="b", result="no", is_error=True),
        event("TOOL_RESULT_CHUNK", id="a", delta="ne"),
    )
    calls: list[Any] = [{"id": "a", "name": "add", "arguments": {"x": 1}}, {"id": "b", "name": "sub", "arguments": {}}]
    failed = {"id": "b", "name": "sub", "result": "no", "isError": True}
    results = [failed, {"id": "a", "name": "add", "result": "one"}]
    assert notes(events, "tool_call") == kept(task, "tool_call") == [{"data": each} for each in calls]
    assert notes(events, "tool_result") == kept(task, "tool_result") == [{"data": each} for each in results]


def test_what_an_agent_makes_is_part_of_its_answer(line: str) -> None:
    image = event("CUSTOM", name="image_url", value={"image_url": {"url": f"data:image/png;base64,{PNG}"}})
    link = event("CUSTOM", name="image", value={"url": "https://page.test/a.png"})
    sound = event("CUSTOM", name="audio", value={"data": "AAEC", "format": "wav"})
    file = event("CUSTOM", name="file", value={"file_data": "QUJD", "filename": "a.txt"})
    table = event("CUSTOM", name="data", value={"rows": [1, 2]})
    events, task = both(line, "look", image, link, sound, file, table)
    assert answers(events) == task.parts
    words, png, linked, wav, attached, data = task.parts
    assert (words, data) == (text("look"), {"data": {"rows": [1, 2]}})
    assert (png["raw"], png["mediaType"]) == (PNG, "image/png")
    assert linked == {"url": "https://page.test/a.png", "mediaType": "image/png"}
    assert (raw(wav), wav["mediaType"]) == (b"\0\1\2", "audio/wav")
    assert (raw(attached), attached["mediaType"], attached["filename"]) == (b"ABC", "text/plain", "a.txt")


def test_other_things_are_told_on_the_way(line: str) -> None:
    state, custom = event("STATE", snapshot={"a": 1}), event("CUSTOM", name="mood", value="good")
    events, _ = both(line, state, custom, event("RAW", raw="data: 1"))
    assert notes(events, "state") == [{"data": {"snapshot": {"a": 1}}}]
    assert notes(events, "custom") == [{"data": {"name": "mood", "value": "good"}}]


def test_usage(line: str) -> None:
    spent = [event("USAGE", input_tokens=3, output_tokens=4), event("USAGE", input_tokens=1, output_tokens=0)]
    events, task = both(line, "so", *spent)
    assert events[-1].usage == task.usage == {"inputTokens": 4, "outputTokens": 4}
    assert [each.usage for each in both(line, "so")[0]] == [None] * 4


@pytest.mark.parametrize("before", [[], ["one"]], ids=["before", "between"])
def test_an_error_fails_the_task_and_says_why(line: str, before: list[Any]) -> None:
    events, task = both(line, *before, RuntimeError("no luck"))
    last = events[-1]
    assert (last.state, last.text, last.about) == ("failed", "no luck", {"code": "RuntimeError"})
    assert answers(events) == [text(word) for word in before]
    assert task.state == "failed"
    assert heard({**task.document, "artifacts": []}).text == "no luck"


def test_an_agent_that_interrupts_itself_cancels_the_task(line: str) -> None:
    events, task = both(line, "one", asyncio.CancelledError())
    assert (events[-1].state, task.state) == ("canceled", "canceled")


def test_all_that_was_asked_reaches_the_agent(line: str) -> None:
    listening = Listening()
    asked = [
        text("look"),
        {"data": {"a": "b"}},
        {"raw": PNG, "mediaType": "image/png"},
        {"url": "https://page.test/a.mp4", "mediaType": "video/mp4"},
        {"raw": "AAEC", "mediaType": "audio/wav"},
        {"raw": "QUJD", "mediaType": "text/plain", "filename": "a.txt"},
        {"url": "https://page.test/b.pdf", "filename": "b.pdf"},
    ]
    with serving(listening) as served:
        task = whole(served, line, *asked, contextId="C", messageId="first")
        assert [said["parts"] for said in task.history] == [asked]
    (request,) = listening.requests
    (message,) = request.messages
    assert (message.id, message.role.value) == ("first", "user")
    assert message.content == [
        {"type": "text", "text": "look"},
        {"type": "text", "text": '{"a": "b"}'},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "video_url", "video_url": {"url": "https://page.test/a.mp4"}},
        {"type": "input_audio", "input_audio": {"data": "AAEC", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,QUJD", "filename": "a.txt"}},
        {"type": "file", "file": {"file_url": "https://page.test/b.pdf", "filename": "b.pdf"}},
    ]
    assert (request.protocol, request.stream, request.session_id) == ("a2a", False, "C")
    assert (getattr(request, "task_id", None), task.context_id) == (task.task_id, "C")


def test_what_was_said_before_in_a_context_is_at_hand(line: str) -> None:
    listening = Listening()
    with serving(listening) as served:
        first = whole(served, line, text("one"))
        whole(served, line, text("other"))
        streamed(served, line, text("two"), contextId=first.context_id)
    other, last = listening.requests[1:]
    history = [(message.role.value, message.content) for message in getattr(last, "history", [])]
    assert history == [("user", "one"), ("assistant", "answer 1")]
    assert (last.session_id, last.stream, last.messages[0].content) == (first.context_id, True, "two")
    assert getattr(other, "history", None) == []
    assert other.session_id != first.context_id
