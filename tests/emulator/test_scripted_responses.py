"""The responses API of the scripted model, driven by the openai client."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import FunctionToolParam, ResponseInputParam
from pydantic import BaseModel

from agentrun.emulator.scripted import (
    Conversation,
    Latency,
    Reply,
    ReplyError,
    Rule,
    Script,
    ScriptedModel,
    ToolCall,
    Usage,
    When,
)
from tests.emulator.scripted import CREATED, Served, collect

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


def test_answer(served: Served) -> None:
    client = served.run(Rule(When(user="hello", system="polite"), "Good morning."))
    answer = client.responses.create(model="any", input="say hello", instructions="Be polite.", temperature=0.5)
    assert answer.output_text == "Good morning."
    assert (answer.object, answer.status, answer.created_at, answer.model) == ("response", "completed", CREATED, "any")
    assert (answer.instructions, answer.temperature) == ("Be polite.", 0.5)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (6, 4, 10)
    again = client.responses.create(model="any", input="say hello", instructions="Be polite.", temperature=0.5)
    assert again == answer


def test_usage_and_finish_reason_as_told(served: Served) -> None:
    usage = Usage(100, 20, cached_tokens=30, reasoning_tokens=10)
    client = served.run(Rule(When(), Reply("cut", usage=usage, finish_reason="length")))
    answer = client.responses.create(model="m", input="x")
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.cached_tokens == 30
    assert answer.usage.output_tokens_details.reasoning_tokens == 10
    last = list(client.responses.create(model="m", input="x", stream=True))[-1]
    assert last.type == "response.incomplete"


def test_stream_has_every_event_in_its_order(served: Served) -> None:
    calls = [ToolCall("get_weather", {"city": "Hangzhou, in the east"}), ToolCall("now", id="call_mine")]
    client = served.run(Rule(When(), Reply("Let me look.", tool_calls=calls, reasoning="I need tools.")))
    events = list(client.responses.create(model="m", input="x", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "response.output_text.delta"
    summary, arguments = "response.reasoning_summary", "response.function_call_arguments"
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        f"{summary}_part.added",
        *[f"{summary}_text.delta"] * 3,
        f"{summary}_text.done",
        f"{summary}_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        *[text] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        *[f"{arguments}.delta"] * 3,
        f"{arguments}.done",
        "response.output_item.done",
        "response.output_item.added",
        f"{arguments}.delta",
        f"{arguments}.done",
        "response.output_item.done",
        "response.completed",
    ]
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output == client.responses.create(model="m", input="x").output
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert done == last.response.output
    assert [item.type for item in done] == ["reasoning", "message", "function_call", "function_call"]


def test_the_client_assembles_the_stream(served: Served) -> None:
    client = served.run(Rule(When(), Reply("Well met, traveller.", tool_calls=[ToolCall("now", {"zone": "utc"})])))
    with client.responses.stream(model="m", input="x") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert (text, final.output_text) == ("Well met, traveller.",) * 2
    assert final.usage is not None


def test_tool_round_trip(served: Served) -> None:
    seen: list[Conversation] = []

    def tell(conversation: Conversation) -> str:
        seen.append(conversation)
        return " and ".join(result.content for result in conversation.tool_results)

    cities = [ToolCall("get_weather", {"city": city}) for city in ("Hangzhou", "Suzhou")]
    call = Reply("Let me look.", tool_calls=cities, reasoning="Two cities.")
    client = served.run(Rule("weather", call), Rule(When(tool="get_weather"), tell), strict=True)
    history: Any = [{"role": "user", "content": "What is the weather?"}]
    first = client.responses.create(model="m", input=history, tools=[WEATHER])
    history += [item.model_dump() for item in first.output]
    for item in first.output:
        if item.type == "function_call":
            city = json.loads(item.arguments)["city"]
            output: Any = f"{city}: sun" if city == "Suzhou" else [{"type": "input_text", "text": f"{city}: rain"}]
            history.append({"type": "function_call_output", "call_id": item.call_id, "output": output})
    second = client.responses.create(model="m", input=history, tools=[WEATHER])
    assert second.output_text == "Hangzhou: rain and Suzhou: sun"
    assert seen[0].turn == 2
    assert [(message.role, message.content, len(message.tool_calls)) for message in seen[0].messages[:2]] == [
        ("user", "What is the weather?", 0),
        ("assistant", "Let me look.", 2),
    ]
    with pytest.raises(openai.BadRequestError, match="offers no tools") as raised:
        client.responses.create(model="m", input="weather")
    assert raised.value.param == "tools"


class Answer(BaseModel):
    city: str
    degrees: int


def test_structured_output(served: Served) -> None:
    client = served.run(Rule("warm", {"city": "Hangzhou", "degrees": 21}), Rule("wrong", {"city": 5, "degrees": 21}))
    assert client.responses.parse(model="m", input="warm?", text_format=Answer).output_parsed == Answer(
        city="Hangzhou", degrees=21
    )
    assert client.responses.parse(model="m", input="other", text_format=Answer).output_parsed == Answer(
        city="", degrees=0
    )
    with pytest.raises(openai.BadRequestError, match=r"\$\.city: 5") as raised:
        client.responses.parse(model="m", input="wrong", text_format=Answer)
    assert raised.value.param == "text.format.schema"


def test_strict_mismatch_names_the_input(served: Served) -> None:
    client = served.run(Rule("weather", "sunny"), strict=True)
    with pytest.raises(openai.BadRequestError, match="Nearest rule") as raised:
        client.responses.create(model="m", input="How is the wether?")
    assert (raised.value.code, raised.value.param) == ("script_mismatch", "input")


def test_error_reply(served: Served) -> None:
    client = served.run(Rule(When(), Reply(error=ReplyError(429))))
    for streamed in (True, False):
        with pytest.raises(openai.RateLimitError):
            client.responses.create(model="m", input="x", stream=streamed)


def test_a_stream_that_ends_in_an_error(served: Served) -> None:
    served.run(Rule(When(), Reply("one two three", break_after=2, error=ReplyError(503))))
    response = served.post(json.dumps({"model": "m", "input": "x", "stream": True}), path="/v1/responses")
    events = [json.loads(event.partition("data: ")[2]) for event in response.text.split("\n\n") if event]
    assert [event["sequence_number"] for event in events] == list(range(8))
    assert [event["type"] for event in events[-4:]] == [
        "response.output_text.delta",
        "response.output_text.delta",
        "error",
        "response.failed",
    ]
    assert events[-2]["message"] == "The model is overloaded."
    assert events[-1]["response"]["error"]["code"] == "overloaded"
    assert events[-1]["response"]["status"] == "failed"


def test_a_stream_that_breaks(served: Served) -> None:
    client = served.run(Rule(When(), Reply("one two three", break_after=1)))
    events, error = collect(client.responses.create(model="m", input="x", stream=True))
    assert error is not None
    assert events[-1].type == "response.output_text.delta"


@pytest.mark.asyncio
async def test_async_client(served: Served) -> None:
    served.serve(ScriptedModel(Script([Rule(When(), "one two")], latency=Latency(0, 1000))))
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="k", max_retries=0) as client:
        stream = await client.responses.create(model="m", input="x", stream=True)
        pieces = [event.delta async for event in stream if event.type == "response.output_text.delta"]
    assert pieces == ["one", " two"]


def said(*items: object) -> dict[str, object]:
    return {"input": items}


CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}
INVALID: list[tuple[dict[str, object], str, str]] = [
    ({}, "missing_required_parameter", "input"),
    ({"input": []}, "empty_array", "input"),
    ({"input": 5}, "invalid_type", "input"),
    ({"input": "x", "model": ""}, "missing_required_parameter", "model"),
    ({"input": "x", "instructions": ["x"]}, "invalid_type", "instructions"),
    ({"input": "x", "stream": "yes"}, "invalid_type", "stream"),
    ({"input": "x", "previous_response_id": "resp_1"}, "unsupported_parameter", "previous_response_id"),
    ({"input": "x", "conversation": "conv_1"}, "unsupported_parameter", "conversation"),
    ({"input": "x", "background": True}, "unsupported_parameter", "background"),
    ({"input": "x", "tools": [{"type": "web_search"}]}, "invalid_value", "tools[0].type"),
    ({"input": "x", "tools": [{"type": "function"}]}, "invalid_type", "tools[0].name"),
    ({"input": "x", "text": {"format": {"type": "xml"}}}, "invalid_value", "text.format.type"),
    ({"input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}, "invalid_type", "text.format.schema"),
    (said({"type": "item_reference", "id": "x"}), "invalid_value", "input[0].type"),
    (said({"role": "tool", "content": "x"}), "invalid_value", "input[0].role"),
    (said({"role": "user"}), "invalid_type", "input[0].content"),
    (said({"role": "user", "content": [{"type": "smell"}]}), "invalid_value", "input[0].content[0].type"),
    (said({"role": "user", "content": [{"type": "input_text"}]}), "invalid_type", "input[0].content[0].text"),
    (said(CALL), "invalid_value", "the end of input"),
    (said(OUTPUT), "invalid_value", "input[0].call_id"),
    (said(CALL, {"role": "user", "content": "x"}), "invalid_value", "input[1]"),
    (said({**CALL, "arguments": {}}, OUTPUT), "invalid_type", "input[0].arguments"),
    (said(CALL, {**OUTPUT, "output": None}), "invalid_type", "input[1].output"),
]


@pytest.mark.parametrize(("fields", "code", "param"), INVALID)
def test_invalid_requests(served: Served, fields: dict[str, object], code: str, param: str) -> None:
    served.serve(ScriptedModel())
    response = served.post(json.dumps({"model": "m", **fields}), path="/v1/responses")
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)


def test_history_in_turns(served: Served) -> None:
    seen: list[Conversation] = []

    def record(conversation: Conversation) -> str:
        seen.append(conversation)
        return "ok"

    client = served.run(Rule(When(), record))
    image: Any = {"type": "input_image", "image_url": "data:,", "detail": "auto"}
    history: ResponseInputParam = [
        {"role": "developer", "content": "terse"},
        {"role": "user", "content": [{"type": "input_text", "text": "one"}, image]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "not json"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    raw = client.responses.with_raw_response.create(model="m", input=history, top_p=0.5)
    assert raw.headers["x-agentrun-notes"] == "input[1].content: 1 input_image not looked at"
    roles = [message.role for message in seen[0].messages]
    assert roles == ["developer", "user", "assistant", "tool", "assistant", "user"]
    assert (seen[0].turn, seen[0].last_user, seen[0].system) == (3, "three", "terse")
    assert seen[0].parameters == {"top_p": 0.5}
