"""The same agents by every protocol, each asked by the client of its own package: all hear the same."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest

from tests.unit.server import test_ag_ui, test_mcp
from tests.unit.server.a2a import clients as a2a
from tests.unit.server.agent_api.runs import check_grammar, lines_of
from tests.unit.server.agents import Watched, agent, event
from tests.unit.server.responses import told as responses_told
from tests.unit.server.serving import ASKED, PATIENCE, Served, serving

# As in the tests of MCP.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")

PNG = "data:image/png;base64,iVBORw0KGgo="
COMPLETED, FAILED, CANCELED = "completed", "failed", "canceled"


@dataclass
class Heard:
    """What a client heard; `calls` is None where the protocol has no word for them."""

    text: str = ""
    thoughts: str | None = None
    calls: list[str] | None = field(default_factory=list[str])
    tokens: tuple[int, int] | None = None
    end: str = COMPLETED


def by_agent_api(served: Served) -> Heard:
    body = {"input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
    objects = [json.loads(line) for line in lines_of(served.post("/process", body).text)]
    check_grammar(objects)
    heard = Heard(thoughts="", end=objects[-1]["status"])
    for item in objects:
        is_piece = item["object"] == "content" and item["status"] == "in_progress" and item["type"] == "text"
        if is_piece and kind_of(objects, item) == "message":
            heard.text += item["text"]
        elif is_piece:
            heard.thoughts = f"{heard.thoughts}{item['text']}"
    messages: list[dict[str, Any]] = objects[-1]["output"] or []
    calls: list[str] = [
        part["data"]["name"] for each in messages if each["type"].endswith("_call") for part in each["content"]
    ]
    usage: dict[str, int] | None = objects[-1]["usage"]
    tokens = (usage["input_tokens"], usage["output_tokens"]) if usage else None
    return Heard(heard.text, heard.thoughts, calls, tokens, heard.end)


def kind_of(objects: list[dict[str, Any]], content: dict[str, Any]) -> str:
    found: str = next(each["type"] for each in objects if each.get("id") == content["msg_id"])
    return found


def by_chat(served: Served) -> Heard:
    heard, calls = Heard(thoughts=""), list[str]()
    with served.openai() as client:
        try:
            stream = client.chat.completions.create(
                model="any", messages=ASKED, stream=True, stream_options={"include_usage": True}
            )
            for chunk in stream:
                usage = chunk.usage
                heard.tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else heard.tokens
                for delta in [choice.delta for choice in chunk.choices]:
                    heard.text += delta.content or ""
                    heard.thoughts = f"{heard.thoughts}{getattr(delta, 'reasoning_content', None) or ''}"
                    calls += [str(call.function.name) for call in delta.tool_calls or () if call.function and call.id]
        except openai.APIError:
            heard.end = FAILED
    heard.calls = calls
    return heard


def by_responses(served: Served) -> Heard:
    answer = served.post("/v1/responses", {"input": "hi", "stream": True})
    if answer.status_code != 200:
        return Heard(thoughts="", end=FAILED)
    events = responses_told(served)
    response = events[-1]["response"]
    heard = Heard(thoughts="", end=CANCELED if response["status"] == "cancelled" else response["status"])
    for each in events:
        if each["type"] == "response.output_text.delta":
            heard.text += each["delta"]
        elif each["type"] == "response.reasoning_text.delta":
            heard.thoughts = f"{heard.thoughts}{each['delta']}"
    heard.calls = [item["name"] for item in response["output"] if item["type"] in ("function_call", "mcp_call")]
    if usage := response.get("usage"):
        heard.tokens = (usage["input_tokens"], usage["output_tokens"])
    return heard


def by_ag_ui(served: Served) -> Heard:
    heard, calls = Heard(thoughts=""), list[str]()
    for each in test_ag_ui.ask(served):
        kind = each.type.value
        if kind == "TEXT_MESSAGE_CONTENT":
            heard.text += each.delta
        elif kind == "REASONING_MESSAGE_CONTENT":
            heard.thoughts = f"{heard.thoughts}{each.delta}"
        elif kind == "TOOL_CALL_START":
            calls.append(each.tool_call_name)
        elif kind == "RUN_ERROR":
            heard.end = FAILED
        elif kind == "RUN_FINISHED" and each.usage:
            heard.tokens = (each.usage[0].input_tokens, each.usage[0].output_tokens)
    heard.calls = calls
    return heard


def by_a2a(served: Served) -> Heard:
    heard, calls = Heard(thoughts=""), list[str]()
    events = a2a.streamed(served, a2a.LINES[0])
    for each in events:
        kind = (each.about or {}).get("type")
        if each.kind == "artifact":
            heard.text += each.text
        elif kind == "reasoning":
            heard.thoughts = f"{heard.thoughts}{each.text}"
        elif kind == "tool_call":
            calls.append(each.parts[0]["data"]["name"])
    heard.calls, heard.end = calls, events[-1].state
    return heard


def by_mcp(served: Served) -> Heard:
    result = test_mcp.talk(served, test_mcp.call)
    if test_mcp.on_another_loop():
        gc.collect()  # What old versions leave open, here and not in another test.
    words = "".join(part.get("text", "") for part in result["content"])
    return Heard(words, calls=None, end=FAILED if result.get("isError") else COMPLETED)


ASKING: dict[str, Callable[[Served], Heard]] = {
    "agent api": by_agent_api,
    "chat": by_chat,
    "responses": by_responses,
    "ag-ui": by_ag_ui,
    "a2a": by_a2a,
    "mcp": by_mcp,
}
PIECES = [
    event("TOOL_CALL_CHUNK", id="a", name="add", args_delta='{"x":'),
    event("TOOL_CALL_CHUNK", id="b", name="find", args_delta='{"q":'),
    event("TOOL_CALL_CHUNK", id="a", args_delta="1}"),
    event("TOOL_CALL_CHUNK", id="b", args_delta="2}"),
    event("TOOL_RESULT", id="b", result="second"),
    event("TOOL_RESULT", id="a", result="first"),
]
SCENARIOS: dict[str, tuple[list[Any], Heard]] = {
    "text": (["Hel", "lo"], Heard("Hello")),
    "nothing": ([], Heard()),
    "thinking": ([event("REASONING", delta="h"), event("REASONING", delta="m"), "so"], Heard("so", "hm")),
    "one tool": (
        ["I ", event("TOOL_CALL", id="a", name="add", args="{}"), event("TOOL_RESULT", id="a", result="2"), "did"],
        Heard("I did", calls=["add"]),
    ),
    "parallel tools": ([*PIECES, "done"], Heard("done", calls=["add", "find"])),
    "a tool of MCP": (
        [
            event("TOOL_CALL", id="m", name="find", args="{}", server_label="docs"),
            event("TOOL_RESULT", id="m", result="x"),
            "found",
        ],
        Heard("found", calls=["find"]),
    ),
    "media": (["see ", event("CUSTOM", name="image", value={"url": PNG}), "this"], Heard("see this")),
    "usage": (["hi", event("USAGE", input_tokens=3, output_tokens=4)], Heard("hi", tokens=(3, 4))),
    "error before": ([ValueError("no such thing")], Heard(end=FAILED)),
    "error between": (["one", ValueError("no such thing")], Heard("one", end=FAILED)),
    "interrupted": (["one", event("ERROR", message="stopped", code="CancelledError")], Heard("one", end=CANCELED)),
}
# Where an interrupted run is told as one that failed, as there is no other word.
WITHOUT_CANCELED = ("chat", "ag-ui", "mcp")


@pytest.fixture(scope="module", params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Generator[tuple[Served, Heard], None, None]:
    items, expected = SCENARIOS[request.param]
    with serving(agent(*items)) as served:
        yield served, expected


@pytest.mark.parametrize("protocol", ASKING)
def test_all_hear_the_same(scenario: tuple[Served, Heard], protocol: str) -> None:
    served, expected = scenario
    heard = ASKING[protocol](served)
    ends = (FAILED,) if protocol in WITHOUT_CANCELED and expected.end == CANCELED else (expected.end,)
    assert heard.end in ends
    if protocol != "mcp" or expected.end == COMPLETED:  # A result that failed has the words of the error.
        assert heard.text == expected.text
    if heard.calls is not None:
        assert heard.calls == expected.calls
        assert heard.thoughts == (expected.thoughts or "")
    if protocol not in ("mcp", "a2a"):
        assert heard.tokens == expected.tokens


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "agent api": ("/process", {"input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}),
    "chat": ("/v1/chat/completions", {"messages": ASKED, "stream": True}),
    "responses": ("/v1/responses", {"input": "hi", "stream": True}),
    "ag-ui": ("/ag-ui", test_ag_ui.ASKED.model_dump(mode="json", by_alias=True)),
    "a2a": (
        "/a2a",
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "message/send",
            "params": {
                "message": {
                    "kind": "message",
                    "role": "user",
                    "messageId": "1",
                    "parts": [{"kind": "text", "text": "hi"}],
                }
            },
        },
    ),
}


@pytest.mark.parametrize("protocol", REQUESTS)  # The tests of MCP have it with its session.
def test_an_agent_is_stopped_when_its_client_has_gone(protocol: str) -> None:
    path, body = REQUESTS[protocol]
    content, watched = json.dumps(body).encode(), Watched()
    with serving(watched) as served:
        with served.connect() as connection:
            head = b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            connection.sendall(head % (path.encode(), len(content)) + content)
            assert watched.waits.wait(PATIENCE)
        assert watched.stopped.wait(PATIENCE)
