"""AG-UI, with the types of its own package over TCP: every stream is read by them, and its order is checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from ag_ui.core import (
    AssistantMessage,
    Context,
    DataSource,
    DeveloperMessage,
    Event,
    FunctionCall,
    ImagePart,
    ReasoningMessage,
    RunAgentInput,
    TextPart,
    Tool,
    ToolCall,
    ToolMessage,
    UrlSource,
    UserMessage,
)
from pydantic import TypeAdapter

from agentrun.server import AgentEvent, AGUIProtocolConfig, EventType, MessageRole, ServerConfig
from tests.unit.server.agents import Listening, Watched, agent, event
from tests.unit.server.serving import PATIENCE, Served, serving

RUN = "/ag-ui/agent"
EVENT: TypeAdapter[Any] = TypeAdapter(Event)
ASKED = RunAgentInput(
    thread_id="T",
    run_id="R",
    state={},
    messages=[UserMessage(id="1", content="hi")],
    tools=[],
    context=[],
    forwarded_props={},
)


def ask(served: Served, asked: RunAgentInput = ASKED) -> list[Any]:
    answer = served.post(RUN, asked.model_dump(mode="json", by_alias=True))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    events = [EVENT.validate_json(frame.removeprefix("data: ")) for frame in answer.text.split("\n\n") if frame]
    check(events)
    return events


def told(*items: Any) -> list[Any]:
    with serving(agent(*items)) as served:
        return ask(served)


def check(events: Sequence[Any]) -> None:
    """The order that the protocol asks for: what begins ends, nothing goes on that has not begun, one end."""
    kinds = [each.type.value for each in events]
    assert kinds[0] == "RUN_STARTED"
    assert kinds[-1] in ("RUN_FINISHED", "RUN_ERROR")
    assert len([kind for kind in kinds if kind.startswith("RUN_")]) == 2
    opened: set[tuple[str, str]] = set()
    begun: set[tuple[str, str]] = set()
    for each in events:
        family, _, step = each.type.value.rpartition("_")
        if family in ("TEXT_MESSAGE", "REASONING_MESSAGE", "REASONING", "TOOL_CALL") and step != "RESULT":
            place = (family, getattr(each, "tool_call_id", None) or each.message_id)
            if step == "START":
                assert place not in begun
                assert family == "REASONING_MESSAGE" or all(name == family == "TOOL_CALL" for name, _ in opened)
                begun.add(place)
                opened.add(place)
            else:
                assert place in opened
                opened -= {place} if step == "END" else set()
    assert not opened


def kinds(events: Sequence[Any]) -> list[str]:
    return [each.type.value for each in events]


TEXT = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
CALL = ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END"]


def run(*inner: str, end: str = "RUN_FINISHED") -> list[str]:
    return ["RUN_STARTED", *inner, end]


def test_text() -> None:
    events = told("Hel", "lo")
    assert kinds(events) == run(TEXT[0], TEXT[1], TEXT[1], TEXT[2])
    assert [each.delta for each in events[2:4]] == ["Hel", "lo"]
    assert {(each.thread_id, each.run_id) for each in (events[0], events[-1])} == {("T", "R")}
    assert (events[1].role, events[-1].outcome, events[-1].usage) == ("assistant", None, None)


def test_nothing_said() -> None:
    assert kinds(told()) == run()


def test_reasoning_is_no_text() -> None:
    events = told(event("REASONING", delta="h"), event("REASONING", delta="m"), "so")
    content = "REASONING_MESSAGE_CONTENT"
    begin, end = ["REASONING_START", "REASONING_MESSAGE_START"], ["REASONING_MESSAGE_END", "REASONING_END"]
    assert kinds(events) == run(*begin, content, content, *end, *TEXT)
    assert "".join(each.delta for each in events if each.type.value == content) == "hm"
    assert events[2].role == "reasoning"


def test_one_tool_with_its_result() -> None:
    call = event("TOOL_CALL", id="t", name="add", args='{"x":1}')
    events = told("I add", call, event("TOOL_RESULT", id="t", result={"sum": 2}), "2")
    assert kinds(events) == run(*TEXT, *CALL, "TOOL_CALL_RESULT", *TEXT)
    start, arguments, _, result = events[4:8]
    assert (start.tool_call_name, arguments.delta) == ("add", '{"x":1}')
    assert (result.tool_call_id, result.content, result.role) == ("t", '{"sum": 2}', "tool")
    assert events[1].message_id != events[8].message_id
    assert events[-1].outcome is None


def test_parallel_calls_whose_pieces_are_mixed() -> None:
    events = told(
        event("TOOL_CALL_CHUNK", id="a", name="add", args_delta='{"x"'),
        event("TOOL_CALL_CHUNK", id="b", name="sub", args_delta="{"),
        event("TOOL_CALL_CHUNK", id="a", args_delta=":1}"),
        event("TOOL_CALL_CHUNK", id="b", args_delta="}"),
        event("TOOL_RESULT_CHUNK", id="a", delta="o"),
        event("TOOL_RESULT", id="b", result="no", is_error=True),
        event("TOOL_RESULT", id="a", result="ne"),
    )
    arguments = {"a": "", "b": ""}
    for each in events:
        if each.type.value == "TOOL_CALL_ARGS":
            arguments[each.tool_call_id] += each.delta
    results = {each.tool_call_id: each for each in events if each.type.value == "TOOL_CALL_RESULT"}
    assert arguments == {"a": '{"x":1}', "b": "{}"}
    assert {name: each.content for name, each in results.items()} == {"a": "one", "b": "no"}
    assert {name: each.metadata for name, each in results.items()} == {"a": None, "b": {"isError": True}}


def test_a_call_that_is_left_to_the_client_is_named() -> None:
    call = event("TOOL_CALL_CHUNK", id="t", name="add", args_delta="{}")
    events = told(call, event("TOOL_CALL", id="t", name="add", args="{}"))
    assert kinds(events) == run(*CALL)
    assert events[-1].outcome.pending_tool_call_ids == ["t"]


def test_pieces_of_a_result_are_told_though_nothing_follows() -> None:
    call = event("TOOL_CALL", id="t", name="add", args="{}")
    events = told(call, event("TOOL_RESULT_CHUNK", id="t", delta="2"))
    assert (kinds(events), events[-2].content) == (run(*CALL, "TOOL_CALL_RESULT"), "2")


def test_states() -> None:
    patch = [{"op": "add", "path": "/a", "value": 2}]
    events = told(event("STATE", snapshot={"a": 1}), event("STATE", delta=patch))
    assert kinds(events) == run("STATE_SNAPSHOT", "STATE_DELTA")
    assert (events[1].snapshot, events[2].delta[0].path) == ({"a": 1}, "/a")


def test_a_question_to_a_person_interrupts_the_run() -> None:
    schema = {"type": "boolean"}
    events = told(event("HITL", id="h", type="confirm", prompt="May I?", schema=schema))
    assert kinds(events) == run(*CALL)
    assert events[1].tool_call_name == "hitl_confirm"
    (asked,) = events[-1].outcome.interrupts
    assert (asked.id, asked.reason, asked.message, asked.tool_call_id) == ("h", "confirm", "May I?", "h")
    assert asked.response_schema == schema


def test_a_question_about_a_call_makes_no_other_call() -> None:
    call = event("TOOL_CALL", id="t", name="rm", args="{}")
    events = told(call, event("HITL", id="h", tool_call_id="t", type="tool_approval", prompt="May rm be called?"))
    assert kinds(events) == run(*CALL)
    assert [(each.id, each.tool_call_id) for each in events[-1].outcome.interrupts] == [("h", "t")]


def test_usage_is_told_at_the_end() -> None:
    spent = [event("USAGE", input_tokens=3, output_tokens=4), event("USAGE", input_tokens=1, output_tokens=0)]
    (usage,) = told("so", *spent)[-1].usage
    assert (usage.input_tokens, usage.output_tokens) == (4, 4)
    (usage,) = told(*spent, RuntimeError("no luck"))[-1].usage
    assert usage.input_tokens == 4


def test_what_is_of_ones_own_arrives() -> None:
    more = AgentEvent(event=EventType.TEXT, data={"delta": "a"}, addition={"metadata": {"mood": "good"}})
    events = told(event("CUSTOM", name="x", value=None), more, event("RAW", raw='data: {"type":"RAW","event":1}'))
    assert kinds(events) == run("CUSTOM", *TEXT[:2], "RAW", TEXT[2])
    assert (events[1].name, events[1].value, events[3].metadata) == ("x", None, {"mood": "good"})


@pytest.mark.parametrize(
    ("before", "inner"),
    [
        ([], []),
        (["one"], TEXT),
        ([event("TOOL_CALL_CHUNK", id="t", name="add", args_delta="{")], CALL),
    ],
)
def test_an_error_is_the_end_and_all_that_was_open_is_closed_before(before: list[Any], inner: list[str]) -> None:
    events = told(*before, RuntimeError("no luck"))
    assert kinds(events) == run(*inner, end="RUN_ERROR")
    assert (events[-1].message, events[-1].code) == ("no luck", "RuntimeError")


def test_what_json_does_not_know_is_told_as_well_as_possible() -> None:
    (_, snapshot, _) = told(event("STATE", snapshot={"at": pytest}))
    assert "module" in snapshot.snapshot["at"]


def test_an_agent_is_stopped_when_its_client_has_gone() -> None:
    watched = Watched()
    body = ASKED.model_dump(mode="json", by_alias=True)
    with serving(watched) as served:
        with httpx.Client(trust_env=False) as http, http.stream("POST", f"{served.root}{RUN}", json=body) as answer:
            texts = answer.iter_text()  # Kept: one that is thrown away closes the answer.
            next(texts)
            assert not watched.stopped.is_set()
        assert watched.stopped.wait(PATIENCE / 2)


PICTURES = [
    ImagePart(source=UrlSource(value="https://page.test/a.png")),
    ImagePart(source=DataSource(value="QQ==", mime_type="image/png")),
]


def test_all_that_was_asked_reaches_the_agent() -> None:
    listening = Listening()
    called = ToolCall(id="t", function=FunctionCall(name="add", arguments="{}"))
    asked = ASKED.model_copy(
        update={
            "parent_run_id": "P",
            "state": {"a": 1},
            "forwarded_props": {"userId": "ada"},
            "context": [Context(description="where", value="here")],
            "tools": [Tool(name="add", description="adds", parameters={"type": "object"})],
            "messages": [
                DeveloperMessage(id="1", content="be kind"),
                UserMessage(id="2", content=[TextPart(text="look"), *PICTURES]),
                ReasoningMessage(id="3", content="hm"),
                AssistantMessage(id="4", tool_calls=[called]),
                ToolMessage(id="5", content="2", tool_call_id="t"),
            ],
        }
    )
    with serving(listening) as served:
        events = ask(served, asked)
    request = listening.request
    said = request.messages
    roles = [MessageRole.SYSTEM, MessageRole.USER, MessageRole.ASSISTANT, MessageRole.ASSISTANT, MessageRole.TOOL]
    assert [message.role for message in said] == roles
    images = [{"type": "image_url", "image_url": {"url": url}} for url in _URLS]
    assert (said[1].text, said[1].content[1:] if said[1].content else None) == ("look", images)
    assert (said[2].reasoning_content, said[2].content) == ("hm", None)
    assert [call.function for call in said[3].tool_calls or ()] == [{"name": "add", "arguments": "{}"}]
    assert (said[4].tool_call_id, said[4].id) == ("t", "5")
    function = {"name": "add", "description": "adds", "parameters": {"type": "object"}}
    assert [tool.function for tool in request.tools or ()] == [function]
    assert (request.protocol, request.stream, request.session_id, request.user_id) == ("agui", True, "T", "ada")
    more = {name: getattr(request, name) for name in ("state", "context", "thread_id", "run_id", "parent_run_id")}
    context = [{"description": "where", "value": "here"}]
    assert more == {"state": {"a": 1}, "context": context, "thread_id": "T", "run_id": "R", "parent_run_id": "P"}
    assert events[0].parent_run_id == "P"


_URLS = ("https://page.test/a.png", "data:image/png;base64,QQ==")


def test_ids_that_nobody_gave_are_made() -> None:
    with serving(agent("ok")) as served:
        answers = [served.post(RUN, {"messages": []}).text for _ in range(2)]
    first, second = (EVENT.validate_json(answer.split("\n\n")[0].removeprefix("data: ")) for answer in answers)
    assert len({first.thread_id, first.run_id, second.thread_id, second.run_id}) == 4


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"messages": "hi"}, "messages", "not a list"),
        ({"messages": ["hi"]}, "messages[0]", "not an object"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "'system', 'user'"),
        ({"tools": [{"description": "x"}]}, "tools[0].name", "is missing"),
        (b"{", None, "not JSON"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(body: Any, param: str | None, message: str) -> None:
    with serving(agent("never")) as served:
        answer = served.post(RUN, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert message in error["message"]


def test_it_is_served_where_it_is_wanted_or_not_at_all() -> None:
    with serving(agent("ok"), ServerConfig(agui=AGUIProtocolConfig(prefix="/run"))) as served:
        assert served.post("/run", {"messages": []}).status_code == 200
        assert served.post(RUN, {"messages": []}).status_code == 404
    with serving(agent("ok"), ServerConfig(agui=AGUIProtocolConfig(enable=False))) as served:
        assert served.post(RUN, {"messages": []}).status_code == 404
