"""Responses over TCP, driven by the client of OpenAI; every stream is held to the rules."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from agentrun._core.values import is_list, is_object
from agentrun.server import (
    AgentEvent,
    AgentRequest,
    OpenAIProtocolConfig,
    ResponsesProtocolConfig,
    ServerConfig,
)
from tests.unit.server.agents import Watched, agent, event
from tests.unit.server.responses import RESPONSES, both, events_of, needs_helper, told, whole
from tests.unit.server.serving import ASKED, PATIENCE, Served, serving

CAPTURES = Path(__file__).parents[2] / "data" / "captures" / "agent-api"
PIXEL = "iVBORw0KGgo="


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def message(*parts: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "status": status, "content": list(parts)}


def output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call(call_id: str, name: str, arguments: str, status: str = "completed") -> dict[str, Any]:
    return {"type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": arguments}


def result(call_id: str, name: str, output: str, status: str = "completed") -> dict[str, Any]:
    return {"type": "function_call_output", "status": status, "call_id": call_id, "name": name, "output": output}


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_text(loop: str) -> None:
    with serving(agent("Hel", "lo"), loop=loop) as served, served.openai() as client:
        streamed = list(client.responses.create(model="any", input="hi", stream=True))
        with client.responses.stream(model="any", input="hi") as stream:
            final = stream.until_done().get_final_response()
        answer = client.responses.create(model="any", input="hi")
        events = told(served)
    assert [each.delta for each in streamed if each.type == "response.output_text.delta"] == ["Hel", "lo"]
    assert streamed[-1].type == "response.completed"
    assert streamed[-1].response.output_text == final.output_text == answer.output_text == "Hello"
    assert (answer.object, answer.status, answer.model) == ("response", "completed", "any")
    assert kinds(events) == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta", "output_text.done"),
        *("content_part.done", "output_item.done", "completed"),
    ]


def test_text_for_an_asynchronous_client() -> None:
    async def ask(served: Served) -> tuple[str, str]:
        url = f"{served.root}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", timeout=PATIENCE) as client:
            answer = await client.responses.create(model="any", input="hi")
            text = ""
            async for each in await client.responses.create(model="any", input="hi", stream=True):
                text += each.delta if each.type == "response.output_text.delta" else ""
            return answer.output_text, text

    with serving(agent("Hel", "lo")) as served:
        assert asyncio.run(ask(served)) == ("Hello", "Hello")


def test_nothing_said() -> None:
    with serving(agent()) as served, served.openai() as client:
        assert kinds(told(served)) == ["created", "in_progress", "completed"]
        answer = client.responses.create(model="any", input="hi")
    assert (answer.output, answer.output_text, answer.status) == ([], "", "completed")


def test_thoughts_are_an_item_before_the_text() -> None:
    with serving(agent(event("REASONING", delta="h"), event("REASONING", delta="m"), "so")) as served:
        events = told(served)
        found = both(served)
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    assert found == [{**thought, "status": "completed"}, message(output_text("so"))]
    assert [each["delta"] for each in events if each["type"] == "response.reasoning_text.delta"] == ["h", "m"]


WHOLE = [event("TOOL_CALL", id="a", name="add", args='{"x":1}')]
IN_PIECES = [
    event("TOOL_CALL_CHUNK", id="a", name="add", args_delta=""),
    event("TOOL_CALL_CHUNK", id="a", args_delta='{"x"'),
    event("TOOL_CALL_CHUNK", id="a", args_delta=":1}"),
]


@pytest.mark.parametrize("events", [WHOLE, IN_PIECES, IN_PIECES + WHOLE], ids=["whole", "in pieces", "both"])
def test_one_call_and_what_came_of_it(events: list[AgentEvent]) -> None:
    with serving(agent("I add", *events, event("TOOL_RESULT", id="a", result="3"), "3")) as served:
        found = both(served)
    said = message(output_text("I add")), message(output_text("3"))
    assert found == [said[0], call("a", "add", '{"x":1}'), result("a", "add", "3"), said[1]]


def test_a_call_that_the_client_is_to_carry_out_has_no_output() -> None:
    with serving(agent(event("TOOL_CALL", id="a", name="add", args=""))) as served:
        assert both(served) == [call("a", "add", "{}")]


PARALLEL = [
    event("TOOL_CALL_CHUNK", id="a", name="add", args_delta='{"x"'),
    event("TOOL_CALL_CHUNK", id="b", name="sub", args_delta="{"),
    event("TOOL_CALL_CHUNK", id="a", args_delta=":1}"),
    event("TOOL_CALL_CHUNK", id="b", args_delta="}"),
]


def test_parallel_calls_whose_pieces_are_mixed() -> None:
    outputs = [event("TOOL_RESULT", id="b", result={"n": 2}), event("TOOL_RESULT", id="a", result="no", is_error=True)]
    with serving(agent(*PARALLEL, *outputs)) as served:
        found = both(served)
    calls = [call("a", "add", '{"x":1}'), call("b", "sub", "{}")]
    assert found == [*calls, result("b", "sub", '{"n": 2}'), result("a", "add", "no", "incomplete")]


AGAIN = [*WHOLE, event("TOOL_RESULT", id="a", result="1")]


@needs_helper
@pytest.mark.parametrize(
    ("events", "ids"),
    [
        (AGAIN, ["a", "a"]),
        (AGAIN + AGAIN, ["a", "a", "a_2", "a_2"]),  # A second call of the same id is another one.
        ([*PARALLEL, event("TOOL_RESULT", id="b", result="1")], ["a", "b", "b"]),
    ],
    ids=["one", "the same again", "parallel"],
)
def test_the_helper_of_the_client_puts_calls_together(events: list[AgentEvent], ids: list[str]) -> None:
    with (
        serving(agent(*events)) as served,
        served.openai() as client,
        client.responses.stream(model="any", input="hi") as stream,
    ):
        output: Any = stream.get_final_response().output
    assert [item.call_id for item in output] == ids
    assert json.loads(output[0].arguments) == {"x": 1}


def test_an_output_in_pieces_is_one_text() -> None:
    pieces = [event("TOOL_RESULT_CHUNK", id="a", delta="1"), event("TOOL_RESULT_CHUNK", id="a", delta="2")]
    with serving(agent(*WHOLE, *pieces, event("TOOL_RESULT", id="a", result="3"))) as served:
        assert both(served)[1]["output"] == "123"
    with serving(agent(*WHOLE, *pieces)) as served:
        assert both(served)[1] == result("a", "add", "12", "incomplete")


SEARCH = event("TOOL_CALL", id="s", name="search", args='{"q":"x"}', server_label="web")


@pytest.mark.parametrize(
    ("results", "end", "status", "output"),
    [
        ([event("TOOL_RESULT", id="s", result="found")], "mcp_call.completed", "completed", "found"),
        ([event("TOOL_RESULT", id="s", result="lost", is_error=True)], "mcp_call.failed", "failed", None),
        ([], None, "incomplete", None),
    ],
    ids=["found", "failed", "not answered"],
)
def test_the_tool_of_an_mcp_server(results: list[Any], end: str | None, status: str, output: str | None) -> None:
    with serving(agent(SEARCH, "I look", *results, "so")) as served:
        events = told(served)
        found = both(served)[0]
    assert (found["type"], found["server_label"], found["name"]) == ("mcp_call", "web", "search")
    assert (found["arguments"], found["status"], found["output"]) == ('{"q":"x"}', status, output)
    assert (found["error"] is not None) == (status == "failed")
    assert [kind for kind in kinds(events) if kind.startswith("mcp_call.")][1:] == ([end] if end else [])


def test_media() -> None:
    shown = [
        event("CUSTOM", name="image_url", value={"image_url": {"url": f"data:image/png;base64,{PIXEL}"}}),
        "See",
        event("CUSTOM", name="image_url", value={"image_url": {"url": "https://x.test/a.png"}}),
        event("CUSTOM", name="audio", value={"source": {"data": "UklG", "media_type": "audio/wav"}}),
        event("CUSTOM", name="file", value={"file_id": "file_1", "filename": "a.pdf"}),
        event("CUSTOM", name="file", value={"file_url": "https://x.test/a.pdf", "filename": "a.pdf"}),
        event("CUSTOM", name="video_url", value={"video_url": {"url": "data:video/mp4;base64,AAAA"}}),
    ]
    with serving(agent(*shown)) as served:
        picture, spoken = both(served)
    expected = {"type": "image_generation_call", "status": "completed", "result": PIXEL, "output_format": "png"}
    assert picture == expected
    parts = spoken["content"]
    assert parts[0] == output_text("See")
    assert (parts[1]["text"], parts[1]["annotations"][0]["url"]) == (
        "![image](https://x.test/a.png)",
        "https://x.test/a.png",
    )
    assert parts[2] == {"type": "output_audio", "data": "UklG", "transcript": "", "format": "wav"}
    assert parts[3]["annotations"][0]["file_id"] == "file_1"
    assert parts[4]["text"] == "[a.pdf](https://x.test/a.pdf)"
    assert parts[5] == {"type": "output_file", "filename": "video", "file_data": "data:video/mp4;base64,AAAA"}


def test_usage_is_the_sum_of_all_answers_of_models() -> None:
    spent = [event("USAGE", input_tokens=3, output_tokens=4), event("USAGE", input_tokens=10, reasoning_tokens=2)]
    with serving(agent("so", *spent)) as served, served.openai() as client:
        usage = client.responses.create(model="any", input="hi").usage
        streamed = told(served)[-1]["response"]["usage"]
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (13, 4, 17)
    assert streamed["output_tokens_details"] == {"reasoning_tokens": 2}
    assert streamed["total_tokens"] == 17


def test_usage_that_nobody_knows_is_not_zero() -> None:
    with serving(agent("so")) as served:
        assert whole(served)["usage"] is None


@pytest.mark.parametrize("stream", [True, False])
def test_an_error_before_the_first_word_is_an_error_of_the_request_and_not_tried_again(stream: bool) -> None:
    runs: list[int] = []

    def handler(_: AgentRequest) -> str:
        runs.append(1)
        raise RuntimeError("no luck")

    with serving(handler) as served, served.openai() as client, pytest.raises(openai.InternalServerError) as raised:
        client.responses.create(model="any", input="hi", stream=stream)
    assert (raised.value.status_code, raised.value.type, raised.value.code) == (500, "internal_error", "RuntimeError")
    assert "no luck" in str(raised.value)
    assert len(runs) == 1


def test_an_error_with_a_status_has_that_status() -> None:
    with serving(agent(event("ERROR", message="slow down", code="busy", status=429))) as served:
        answer = served.post(RESPONSES, {"input": "hi", "stream": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "busy")


def test_an_error_between_words_ends_the_stream_as_failed() -> None:
    with serving(agent("one", *IN_PIECES[:2], RuntimeError("no luck"))) as served, served.openai() as client:
        end = told(served)[-1]
        with pytest.raises(openai.InternalServerError, match="no luck"):
            client.responses.create(model="any", input="hi")
        with client.responses.stream(model="any", input="hi") as stream, pytest.raises(RuntimeError, match="completed"):
            stream.get_final_response()
        kept = client.responses.retrieve(end["response"]["id"])
    error = {"code": "server_error", "message": "no luck", "type": "RuntimeError"}
    assert (end["type"], end["response"]["status"], end["response"]["error"]) == ("response.failed", "failed", error)
    statuses = [(item["type"], item["status"]) for item in end["response"]["output"]]
    assert statuses == [("message", "completed"), ("function_call", "incomplete")]
    assert (kept.status, kept.error and kept.error.message) == ("failed", "no luck")


def test_an_agent_that_ran_out_of_tokens_is_incomplete_and_no_error() -> None:
    spent = event("ERROR", message="enough", code="max_output_tokens")
    with serving(agent("one", spent, "never")) as served, served.openai() as client:
        end = told(served)[-1]
        answer = client.responses.create(model="any", input="hi")
    assert (end["type"], end["response"]["status"]) == ("response.incomplete", "incomplete")
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output_text == "one"


def test_an_agent_that_interrupts_itself_before_it_said_a_word() -> None:
    async def handler(_: AgentRequest) -> str:
        raise asyncio.CancelledError

    with serving(handler) as served, served.openai() as client:
        for stream in (True, False):
            with pytest.raises(openai.InternalServerError, match="interrupted"):
                client.responses.create(model="any", input="hi", stream=stream)


def test_an_interrupted_run_has_an_end_that_is_no_success() -> None:
    stopped = event("ERROR", message="The agent was interrupted", code="CancelledError")
    with serving(agent("one", stopped)) as served:
        end = told(served)[-1]
    assert (end["type"], end["response"]["status"]) == ("response.failed", "cancelled")
    assert end["response"]["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize("stream", [True, False])
def test_an_agent_is_stopped_when_its_client_has_gone(stream: bool) -> None:
    def ask() -> None:
        with httpx.Client(trust_env=False) as http, pytest.raises(httpx.ReadTimeout):
            http.post(f"{served.root}{RESPONSES}", json={"input": "hi", "stream": stream}, timeout=1.0)

    watched = Watched()
    with serving(watched) as served:
        thread = threading.Thread(target=ask)
        thread.start()
        assert watched.waits.wait(PATIENCE)
        assert not watched.stopped.is_set()
        thread.join(PATIENCE)
        assert watched.stopped.wait(PATIENCE / 2)


def test_an_agent_is_held_back_when_nobody_reads_and_the_words_arrive_in_the_end() -> None:
    made = [0]
    word = "x" * 10_000

    def handler(_: AgentRequest) -> Iterator[str]:
        for _number in range(2_000):
            made[0] += 1
            yield word

    body = {"input": "hi", "stream": True}
    with serving(handler) as served, served.http.stream("POST", f"{served.root}{RESPONSES}", json=body) as answer:
        before = -1
        while before != made[0]:  # Until it stands still.
            before = made[0]
            time.sleep(0.5)
        assert 0 < before < 1_900
        deltas = sum("output_text.delta" in line for line in answer.iter_lines() if line.startswith("event:"))
    assert deltas == made[0] == 2_000


def test_streams_of_many_clients_do_not_mix() -> None:
    async def handler(request: AgentRequest) -> AsyncIterator[str]:
        for _ in range(50):
            yield request.messages[0].text
            await asyncio.sleep(0)

    def ask(name: str) -> None:
        found[name] = told(served, input=name)[-1]["response"]["output"][0]["content"][0]["text"]

    found: dict[str, str] = {}
    with serving(handler) as served:
        threads = [threading.Thread(target=ask, args=(str(number),)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert found == {str(number): str(number) * 50 for number in range(8)}


def test_refusals_questions_additions_and_raw_frames_arrive() -> None:
    more = AgentEvent(event=event("TEXT").event, data={"delta": "a"}, addition={"mood": "good"})
    refusal = event("CUSTOM", name="refusal", value={"refusal": "No."})
    question = event("HITL", id="h", type="confirm", prompt="May I?")
    again = event("HITL", id="i", tool_call_id="h", prompt="Really?")
    with serving(agent(more, refusal, question, again, event("CUSTOM", name="x", value=1))) as served:
        events = told(served)
        found = both(served)
    assert [each["mood"] for each in events if "mood" in each] == ["good"]
    assert found[0]["content"][1] == {"type": "refusal", "refusal": "No."}
    assert found[1] == call("h", "confirm", '{"prompt": "May I?"}')
    assert found[2] == message(output_text("Really?"))
    with serving(agent("a", event("RAW", raw=": a remark"))) as served:
        text = served.post(RESPONSES, {"input": "hi", "stream": True}).text
    assert "\n\n: a remark\n\n" in text


def test_messages_that_the_agent_tells_apart_are_items_of_their_own() -> None:
    texts = [event("TEXT", delta=delta, message_id=name) for delta, name in (("a", "1"), ("b", "1"), ("c", "2"))]
    with serving(agent(*texts)) as served:
        assert both(served) == [message(output_text("ab")), message(output_text("c"))]


def test_half_of_a_character_does_not_break_a_stream() -> None:
    with serving(agent("\ud83d", "\ude00")) as served:
        events = told(served)
        assert whole(served)["output"][0]["content"][0]["text"] == "\U0001f600"
    assert [each["delta"] for each in events if "delta" in each] == ["\ud83d", "\ude00"]


@pytest.mark.parametrize("prefix", ["/openai/v1", "/v1", "/compatible-mode/v1"])
def test_one_client_has_chat_models_and_responses(prefix: str) -> None:
    with (
        serving(agent("ok")) as served,
        openai.OpenAI(base_url=f"{served.root}{prefix}", api_key="none", timeout=PATIENCE) as client,
    ):
        assert client.responses.create(model="any", input="hi").output_text == "ok"
        assert client.chat.completions.create(model="any", messages=ASKED).choices[0].message.content == "ok"
        assert [model.id for model in client.models.list()] == ["agentrun"]


def test_a_path_that_was_chosen_is_the_only_one() -> None:
    config = ServerConfig(
        responses=ResponsesProtocolConfig(prefix="/r"), openai=OpenAIProtocolConfig(prefix="/c"), agui=None
    )
    with serving(agent("ok"), config) as served:
        assert served.post("/r/responses", {"input": "hi"}).status_code == 200
        assert served.post("/c/chat/completions", {"messages": ASKED}).status_code == 200
        for path in ("/v1/responses", "/openai/v1/responses", "/v1/chat/completions", "/r/chat/completions"):
            assert served.post(path, {"input": "hi", "messages": ASKED}).status_code == 404


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("responses.sse", {"model": "any_name", "input": "hi"}),
        (
            "responses-of-a-list.sse",
            {"model": "x", "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]},
        ),
    ],
)
def test_what_was_recorded_is_told_too(name: str, asked: dict[str, Any]) -> None:
    body = (CAPTURES / name).read_text().split("\n\n", 1)[1].rstrip("\n") + "\n\n"
    recorded = events_of(body)
    with serving(agent("Hello world")) as served:
        ours = told(served, **asked)
    shared = [each for each in ours if each["type"] in {known["type"] for known in recorded}]
    assert [each["type"] for each in shared] == [each["type"] for each in recorded]
    for mine, theirs in zip(shared, recorded, strict=True):
        _holds(mine, theirs)


# Ids and times are never the same; of the others the recorded values are wrong: there is a model, the parts of a
# message are announced before its end, a response that is not in the background does not wait in a queue, the place
# of an item is the same at its end, and tools are called in parallel.
_NOT_COMPARED = {"id", "created_at", "sequence_number", "model", "output_index", "parallel_tool_calls"}


def _holds(mine: Any, theirs: Any) -> None:
    """All that was recorded is in ours."""
    if is_object(theirs):
        for name, value in theirs.items():
            if name not in _NOT_COMPARED and (name, value) != ("status", "queued"):
                _holds(mine[name], value)
    elif is_list(theirs):
        for one, other in zip(mine, theirs, strict=True):
            _holds(one, other)
    else:
        assert mine == theirs
