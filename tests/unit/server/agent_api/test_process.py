"""The Agent API over TCP: every stream keeps the grammar, whatever becomes of the agent, and has one end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentrun.server import AgentEvent
from tests.unit.server.agent_api.runs import check_grammar, check_models, lines_of, outline
from tests.unit.server.agents import Listening, Watched, agent, event
from tests.unit.server.serving import PATIENCE, Served, serving

ASKED: dict[str, Any] = {"input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
PNG = "data:image/png;base64,iVBORw0KGgo="


def streamed(served: Served, status: int = 200, body: Any = ASKED) -> list[dict[str, Any]]:
    answer = served.post("/process", body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = lines_of(answer.text)
    for line in lines:
        check_models(line)
    objects = [json.loads(line) for line in lines]
    check_grammar(objects)
    return objects


def told(*items: Any) -> list[dict[str, Any]]:
    """The stream of an agent, whose answer in one piece is the same."""
    with serving(agent(*items)) as served:
        objects = streamed(served)
        whole = served.post("/process", {**ASKED, "stream": False}).json()
    assert outline([whole]) == outline(objects)
    assert (whole["status"], whole["usage"]) == (objects[-1]["status"], objects[-1]["usage"])
    return objects


def blocks(text: str) -> str:
    """The result of a tool as the wire has it: the JSON of a list of blocks."""
    return json.dumps([{"type": "text", "text": text}])


CALLS = [event("TOOL_CALL_CHUNK", id=each, name="add", args_delta="") for each in "ab"]
PIECES = [event("TOOL_CALL_CHUNK", id=each, args_delta=f'{{"x":{number}}}') for number, each in enumerate("ab")]
RESULTS = [event("TOOL_RESULT", id=each, result=f"is {each}") for each in "ba"]
MCP = [
    event("TOOL_CALL", id="m", name="find", args='{"q":1}', server_label="docs"),
    event("TOOL_RESULT", id="m", result="found"),
]
SCENARIOS: dict[str, tuple[list[Any], list[str]]] = {
    "text": (["Hello", " world"], ["message: Hello world"]),
    "nothing": ([], []),
    "thinking and text": ([event("REASONING", delta="hm"), "An", "swer"], ["reasoning: hm", "message: Answer"]),
    "one tool": (
        ["I ", event("TOOL_CALL", id="a", name="add", args="{}"), event("TOOL_RESULT", id="a", result="2"), "done"],
        ["message: I ", "plugin_call: a add {}", f"plugin_call_output: a add {blocks('2')}", "message: done"],
    ),
    "parallel tools": (
        [*CALLS, *PIECES, *RESULTS],
        [
            'plugin_call: a add {"x":0}',
            'plugin_call: b add {"x":1}',
            f"plugin_call_output: b add {blocks('is b')}",
            f"plugin_call_output: a add {blocks('is a')}",
        ],
    ),
    "a tool of MCP": (MCP, ['mcp_call: m find {"q":1}', f"mcp_call_output: m find {blocks('found')}"]),
    "media": (
        [event("CUSTOM", name="image", value={"url": PNG}), event("CUSTOM", name="image", value={"url": "http://a/b"})],
        [f"message: {PNG} | http://a/b"],
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_an_agent_does_is_told(name: str) -> None:
    items, said = SCENARIOS[name]
    objects = told(*items)
    assert outline(objects) == said
    assert objects[-1]["status"] == "completed"


def test_usage() -> None:
    assert told("hi", event("USAGE", input_tokens=3, output_tokens=4))[-1]["usage"] == {
        "input_tokens": 3,
        "output_tokens": 4,
    }


@pytest.mark.parametrize(("before", "kept"), [([], []), (["one"], [])], ids=["before", "between"])
def test_an_agent_that_fails_has_failed_once(before: list[Any], kept: list[str]) -> None:
    objects = told(*before, ValueError("no such thing"))
    assert objects[-1]["status"] == "failed"
    assert objects[-1]["error"] == {
        "code": "AGENT_UNKNOWN_ERROR",
        "message": "Unknown agent error: ValueError: no such thing",
    }
    assert outline(objects) == kept


def test_an_answer_in_one_piece_that_failed_is_no_success() -> None:
    with serving(agent(ValueError("no"))) as served:
        assert served.post("/process", {**ASKED, "stream": False}).status_code == 500
    with serving(agent(event("ERROR", message="busy", code="SESSION_BUSY", status=409))) as served:
        answer = served.post("/process", {**ASKED, "stream": False})
    assert (answer.status_code, answer.json()["error"]) == (409, {"code": "SESSION_BUSY", "message": "busy"})


def test_an_agent_that_is_interrupted_is_canceled() -> None:
    objects = told("one", event("ERROR", message="stopped", code="CancelledError"))
    assert (objects[-1]["status"], objects[-1]["error"]) == ("canceled", None)


@pytest.mark.parametrize("stream", [True, False])
def test_an_agent_is_stopped_when_its_client_has_gone(stream: bool) -> None:
    watched = Watched()
    with serving(watched) as served:
        body = json.dumps({**ASKED, "stream": stream}).encode()
        with served.connect() as connection:
            connection.sendall(b"POST /process HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            assert watched.waits.wait(PATIENCE)
        assert watched.stopped.wait(PATIENCE)


def test_all_that_was_asked_reaches_the_agent() -> None:
    listening = Listening()
    more = {"session_id": "s", "user_id": "u", "model": "m", "temperature": 0.5, "of_its_own": [1]}
    with serving(listening) as served:
        streamed(served, body={**ASKED, **more})
    request = listening.request
    assert (request.protocol, request.session_id, request.user_id, request.stream) == ("agent_api", "s", "u", True)
    assert [message.text for message in request.messages] == ["hi"]
    fields = request.model_extra or {}
    assert (fields["model"], fields["temperature"], fields["of_its_own"]) == ("m", 0.5, [1])
    assert fields["input"][0].content[0].text == "hi"


BAD: list[tuple[Any, str]] = [
    (b"{", "JSON"),
    (b"[1]", "JSON object"),
    ({}, "AgentRequest.input"),
    ({"input": [{"role": "user", "content": "hi"}]}, "content"),
    ({"input": [{"role": "king", "content": []}]}, "role"),
    ({"input": [{"role": "user", "content": [{"type": "smell"}]}]}, "one of text, image"),
    ({"input": [{"role": "user", "content": None}]}, "no content"),
    ({**ASKED, "tools": [{"type": "function", "function": 1}]}, "tools"),
]


@pytest.mark.parametrize(("body", "words"), BAD)
def test_a_request_that_cannot_be_read_is_told_why_in_a_stream_with_an_end(body: Any, words: str) -> None:
    with serving(agent("never")) as served:
        objects = streamed(served, 422, body)
        if isinstance(body, dict):
            whole = served.post("/process", {**body, "stream": False})
            assert (whole.status_code, whole.json()["error"]["code"]) == (422, "INVALID_REQUEST")
    assert [item["status"] for item in objects] == ["created", "in_progress", "failed"]
    assert words in objects[-1]["error"]["message"]


def test_anonymous_requests_have_sessions_of_their_own() -> None:
    with serving(agent("a")) as served:
        sessions = {streamed(served)[-1]["session_id"] for _ in range(3)}
    assert len(sessions) == 3


def test_an_event_with_an_addition_carries_it() -> None:
    said = AgentEvent.model_validate({"event": "TEXT", "data": {"delta": "hi"}, "addition": {"extra": {"a": 1}}})
    with serving(agent(said)) as served:
        lines = [json.loads(line) for line in lines_of(served.post("/process", ASKED).text)]
    assert [line["extra"] for line in lines if "extra" in line] == [{"a": 1}]
