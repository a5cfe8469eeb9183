"""The scripted model over HTTP, driven by the openai client."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageFunctionToolCallParam
from starlette.types import Message

from agentrun.emulator.scripted import (
    Conversation,
    Reply,
    ReplyError,
    Rule,
    Script,
    ScriptedModel,
    ToolCall,
    Usage,
    When,
)
from tests.emulator.scripted import CREATED, Served, ask, content, stream, tool, user


def test_answer(served: Served) -> None:
    client = served.run(Rule("hello", "Good morning, dear reader."))
    answer = client.chat.completions.create(model="any/name", messages=user("say hello"))
    assert answer.choices[0].message.content == "Good morning, dear reader."
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.object, answer.model, answer.created) == ("chat.completion", "any/name", CREATED)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 7, 10)


def test_without_script_the_user_is_repeated(served: Served) -> None:
    assert ask(served.serve(ScriptedModel()), "ping") == "ping"


def test_script_is_replaced_at_runtime(served: Served) -> None:
    model = ScriptedModel(Script([Rule(When(), "one")]))
    client = served.serve(model)
    assert ask(client) == "one"
    model.script = Script([Rule(When(), "two")])
    assert ask(client) == "two"


def test_stream(served: Served) -> None:
    text = "Good  morning,\n\tdear reader. "
    chunks = stream(served.run(Rule("hello", text)))
    assert content(chunks) == text
    assert [chunk.choices[0].delta.content for chunk in chunks[1:3]] == ["Good", "  morning,"]
    assert (chunks[0].choices[0].delta.role, chunks[0].choices[0].delta.content) == ("assistant", "")
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {(chunk.id, chunk.created, chunk.object) for chunk in chunks} == {
        (chunks[0].id, CREATED, "chat.completion.chunk")
    }


def test_stream_on_the_wire(served: Served) -> None:
    served.run(Rule("hi", "well met"))
    response = served.post(json.dumps({"model": "m", "messages": user("hi"), "stream": True}))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    decoded = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert [event["choices"][0]["delta"] for event in decoded] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "well"},
        {"content": " met"},
        {},
    ]
    assert not any("usage" in event for event in decoded)


def test_stream_usage_is_in_the_last_chunk(served: Served) -> None:
    client = served.run(Rule("hello", "four"))
    chunks = list(
        client.chat.completions.create(
            model="m", messages=user("hello"), stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (2, 1)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks[:-1])


def test_stream_with_usage_says_null_before_it(served: Served) -> None:
    served.run(Rule("hi", "well met"))
    body = {"model": "m", "messages": user("hi"), "stream": True, "stream_options": {"include_usage": True}}
    events = served.post(json.dumps(body)).text.split("\n\n")[:-2]
    usages = [json.loads(event.removeprefix("data: "))["usage"] for event in events]
    assert usages == [None] * 4 + [{"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}]


def test_usage_and_finish_reason_as_told(served: Served) -> None:
    client = served.run(Rule(When(), Reply("cut", usage=Usage(1000, 24), finish_reason="length")))
    answer = client.chat.completions.create(model="m", messages=user("x"))
    assert answer.usage is not None
    assert answer.usage.total_tokens == 1024
    assert answer.choices[0].finish_reason == "length"
    assert stream(client)[-1].choices[0].finish_reason == "length"


def test_ids_are_the_same_for_the_same_conversation(served: Served) -> None:
    client = served.run(Rule(When(), Reply(tool_calls=[ToolCall("f")])))
    first = client.chat.completions.create(model="m", messages=user("x"))
    again = client.chat.completions.create(model="m", messages=user("x"), temperature=0.5)
    other = client.chat.completions.create(model="m", messages=user("y"))
    assert first == again
    assert first.id != other.id
    assert first.choices[0].message.tool_calls != other.choices[0].message.tool_calls
    assert stream(client, "x")[0].id == first.id


WEATHER = (
    Rule("weather", Reply(tool_calls=[ToolCall("get_weather", {"city": "杭州"})])),
    Rule(
        When(tool="get_weather", result=re.compile(r"\d+")),
        lambda asked: f"It is {asked.tool_results[0].content} warm.",
    ),
)


def test_tool_call_round_trip(served: Served) -> None:
    client = served.run(*WEATHER, strict=True)
    messages = user("What is the weather?")
    answer = client.chat.completions.create(model="m", messages=messages, tools=[tool("get_weather")])
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "杭州"})
    made: ChatCompletionMessageFunctionToolCallParam = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.function.name, "arguments": call.function.arguments},
    }
    messages.append({"role": "assistant", "tool_calls": [made]})
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "21 degrees"})
    second = client.chat.completions.create(model="m", messages=messages, tools=[tool("get_weather")])
    assert second.choices[0].message.content == "It is 21 degrees warm."


def test_parallel_tool_calls_stream_in_pieces(served: Served) -> None:
    calls = [
        ToolCall("search", {"query": "a rather long query, in several pieces", "limit": 3}),
        ToolCall("now", id="call_mine"),
        ToolCall("broken", '{"unfinished": '),
    ]
    client = served.run(Rule(When(), Reply("Let me look.", tool_calls=calls)))
    chunks = stream(client)
    assert content(chunks) == "Let me look."
    deltas = [delta for chunk in chunks for delta in chunk.choices[0].delta.tool_calls or []]
    opening = {delta.index: delta for delta in deltas if delta.id}
    assert [delta.function and delta.function.name for delta in opening.values()] == ["search", "now", "broken"]
    assert all(delta.function and delta.function.name is None for delta in deltas if not delta.id)
    whole = client.chat.completions.create(model="m", messages=user("hello")).choices[0].message.tool_calls
    assert whole is not None
    for index, call in enumerate(whole):
        assert call.type == "function"
        pieces = [delta.function.arguments or "" for delta in deltas if delta.index == index and delta.function]
        assert "".join(pieces) == call.function.arguments
        assert call.id == opening[index].id
    assert [call.id for call in whole][1] == "call_mine"
    assert len({call.id for call in whole}) == 3
    assert len(deltas) > 6
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_client_assembles_the_stream(served: Served) -> None:
    client = served.run(*WEATHER)
    with client.chat.completions.stream(model="m", messages=user("weather?"), tools=[tool("get_weather")]) as events:
        final = events.get_final_completion()
    assert final.choices[0].message.tool_calls is not None
    assert json.loads(final.choices[0].message.tool_calls[0].function.arguments) == {"city": "杭州"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "天气很好,今天适合出去走走,明天可能会下雨所以请带伞",
        "👨‍👩‍👧 é ẃ",
        '"\\\n\u2028\x00',
        "data: [DONE]\n\n",
    ],
)
def test_any_text_arrives_unchanged(served: Served, text: str) -> None:
    client = served.run(Rule(When(), text))
    assert ask(client) == text
    assert content(stream(client)) == text
    echo = served.serve(ScriptedModel())
    assert ask(echo, text) == text


def test_text_without_spaces_streams_in_pieces(served: Served) -> None:
    assert len(stream(served.run(Rule(When(), "天" * 100)))) > 5


def test_half_a_surrogate_pair_does_not_break_the_answer(served: Served) -> None:
    served.serve(ScriptedModel())
    response = served.post(b'{"model":"m","messages":[{"role":"user","content":"a\\ud83cb"}]}')
    assert response.json()["choices"][0]["message"]["content"] == "a?b"


def test_parts_are_joined_and_images_noted(served: Served) -> None:
    client = served.run(Rule(re.compile("a cat.*in a hat", re.DOTALL), "seen"), strict=True)
    raw = client.chat.completions.with_raw_response.create(
        model="m",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a cat"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "text", "text": "in a hat"},
                ],
            }
        ],
    )
    assert raw.parse().choices[0].message.content == "seen"
    assert raw.headers["x-agentrun-notes"] == "messages[0].content: 1 image_url not looked at"


def test_developer_message_is_a_system_prompt(served: Served) -> None:
    client = served.run(Rule(When(system="terse"), "k"), strict=True)
    answer = client.chat.completions.create(
        model="m", messages=[{"role": "developer", "content": "Be terse."}, *user("hi")]
    )
    assert answer.choices[0].message.content == "k"


def test_strict_mismatch_is_a_bad_request(served: Served) -> None:
    client = served.run(Rule("weather", "sunny", name="forecast"), strict=True)
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client, "How is the wether today?")
    assert (raised.value.code, raised.value.param) == ("script_mismatch", "messages")
    assert "How is the wether today?" in raised.value.message
    assert "Nearest rule: 'forecast'" in raised.value.message
    with pytest.raises(openai.BadRequestError):
        stream(client)


def test_strict_script_calls_only_offered_tools(served: Served) -> None:
    client = served.run(*WEATHER, strict=True)
    with pytest.raises(openai.BadRequestError, match="Did you mean 'get_whether'\\?") as raised:
        client.chat.completions.create(model="m", messages=user("weather"), tools=[tool("get_whether")])
    assert (raised.value.code, raised.value.param) == ("script_mismatch", "tools")


def test_broken_script_is_a_server_error_without_retry(served: Served) -> None:
    asked: list[int] = []

    def broken(conversation: Conversation) -> str:
        asked.append(conversation.turn)
        raise RuntimeError("out of ideas")

    served.run(Rule(When(), broken, name="idea"))
    with pytest.raises(openai.InternalServerError, match=r"rule 'idea' .* raised RuntimeError: out of ideas"):
        ask(served.client(max_retries=3))
    assert asked == [1]


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, openai.BadRequestError, "invalid_request"),
        (401, openai.AuthenticationError, "invalid_api_key"),
        (403, openai.PermissionDeniedError, "permission_denied"),
        (404, openai.NotFoundError, "model_not_found"),
        (429, openai.RateLimitError, "rate_limit_exceeded"),
        (500, openai.InternalServerError, None),
        (503, openai.InternalServerError, "overloaded"),
    ],
)
def test_error_replies(served: Served, status: int, kind: type[openai.APIStatusError], code: str | None) -> None:
    client = served.run(Rule(When(), Reply(error=ReplyError(status))))
    with pytest.raises(kind) as raised:
        ask(client)
    assert raised.value.code == code
    with pytest.raises(kind):
        stream(client)


def test_error_reply_as_told(served: Served) -> None:
    error = ReplyError(429, "Come back later.", code="insufficient_quota", type="quota", param="model", retry_after=1.5)
    client = served.run(Rule(When(), Reply(error=error)))
    with pytest.raises(openai.RateLimitError) as raised:
        ask(client)
    expected = {"message": "Come back later.", "type": "quota", "param": "model", "code": "insufficient_quota"}
    assert raised.value.body == expected
    assert raised.value.response.headers["retry-after"] == "2"
    assert raised.value.response.headers["retry-after-ms"] == "1500"


def test_client_retries_after_a_rate_limit(served: Served) -> None:
    times: list[float] = []

    def limited_once(_: Conversation) -> Reply:
        times.append(time.monotonic())
        return Reply(error=ReplyError(429, retry_after=0.05)) if len(times) == 1 else Reply("at last")

    served.run(Rule(When(), limited_once))
    assert ask(served.client(max_retries=1)) == "at last"
    assert 0.05 <= times[1] - times[0] < 0.4


def said(message: object) -> dict[str, object]:
    return {"messages": [message]}


INVALID: list[tuple[dict[str, object], str | None, str | None]] = [
    ({"messages": None}, "missing_required_parameter", "messages"),
    ({"messages": []}, "empty_array", "messages"),
    ({"messages": "hi"}, "invalid_type", "messages"),
    (said("hi"), "invalid_type", "messages[0]"),
    (said({"role": "wizard", "content": "x"}), "invalid_value", "messages[0].role"),
    (said({"content": "x"}), "invalid_value", "messages[0].role"),
    (said({"role": ["user"], "content": "x"}), "invalid_value", "messages[0].role"),
    (said({"role": "user"}), "invalid_type", "messages[0].content"),
    (said({"role": "user", "content": 5}), "invalid_type", "messages[0].content"),
    (said({"role": "user", "content": [{"type": "smell"}]}), "invalid_value", "messages[0].content[0].type"),
    (said({"role": "user", "content": [{"type": "text"}]}), "invalid_type", "messages[0].content[0].text"),
    (said({"role": "tool", "content": "x", "tool_call_id": "c1"}), "invalid_value", "messages[0].tool_call_id"),
    (said({"role": "tool", "content": "x"}), "invalid_type", "messages[0].tool_call_id"),
    ({"model": None}, "missing_required_parameter", "model"),
    ({"model": 7}, "invalid_type", "model"),
    ({"n": 2}, "unsupported_value", "n"),
    ({"stream": "yes"}, "invalid_type", "stream"),
    ({"stream_options": []}, None, None),
    ({"stream_options": ["x"]}, "invalid_type", "stream_options"),
    ({"tools": {}}, "invalid_type", "tools"),
    ({"tools": [{"type": "magic"}]}, "invalid_value", "tools[0].type"),
    ({"tools": [{"type": "function", "function": {}}]}, "invalid_type", "tools[0].function.name"),
]


@pytest.mark.parametrize(("fields", "code", "param"), INVALID)
def test_invalid_requests(served: Served, fields: dict[str, object], code: str | None, param: str | None) -> None:
    served.serve(ScriptedModel())
    response = served.post(json.dumps({"model": "m", "messages": user("hi"), **fields}))
    if code is None:
        assert response.status_code == 200
        return
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert error["type"] == "invalid_request_error"
    assert error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe{", b"[" * 100_000])
def test_bodies_that_are_no_json_object(served: Served, body: bytes) -> None:
    served.serve(ScriptedModel())
    response = served.post(body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")


def call(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


@pytest.mark.parametrize(
    ("after", "param"),
    [
        ([], "the end of messages"),
        ([{"role": "user", "content": "well?"}], "messages[2]"),
        ([{"role": "tool", "tool_call_id": "c1", "content": "1"}], "the end of messages"),
        ([{"role": "tool", "tool_call_id": "other", "content": "1"}], "messages[2].tool_call_id"),
    ],
)
def test_tool_calls_and_results_must_pair(served: Served, after: list[dict[str, Any]], param: str) -> None:
    served.serve(ScriptedModel())
    asked = {"role": "assistant", "content": None, "tool_calls": [call("c1"), call("c2")]}
    response = served.post(json.dumps({"model": "m", "messages": [*user("hi"), asked, *after]}))
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_history_is_seen_as_it_was(served: Served) -> None:
    seen: list[Conversation] = []

    def record(conversation: Conversation) -> str:
        seen.append(conversation)
        return "ok"

    served.run(Rule(When(), record))
    asked = {
        "role": "assistant",
        "tool_calls": [call("c1", '{"a": [1]}'), call("c2", "not json"), call("c3", '{"a": NaN}')],
    }
    results = [{"role": "tool", "tool_call_id": f"c{i}", "content": str(i)} for i in (3, 1, 2)]
    body = {"model": "m", "messages": [*user("hi"), asked, *results], "temperature": 0.5}
    assert served.post(json.dumps(body)).status_code == 200
    assert [made.arguments for made in seen[0].messages[1].tool_calls] == [{"a": [1]}, "not json", '{"a": NaN}']
    assert [(result.name, result.content) for result in seen[0].tool_results] == [("f", "3"), ("f", "1"), ("f", "2")]
    assert (seen[0].turn, seen[0].parameters) == (2, {"temperature": 0.5})


@pytest.mark.parametrize("header", ["", "Bearer", "Basic abc", "sk-123"])
def test_a_key_is_required(served: Served, header: str) -> None:
    served.serve(ScriptedModel())
    response = served.post(json.dumps({"model": "m", "messages": user("hi")}), key=header)
    assert response.status_code == 401
    assert "Authorization: Bearer" in response.json()["error"]["message"]


def test_configured_keys(served: Served) -> None:
    served.serve(ScriptedModel(api_keys=["sk-right", "sk-other"]))
    assert ask(served.client("sk-other"), "x") == "x"
    with pytest.raises(openai.AuthenticationError) as raised:
        ask(served.client("sk-wrong"))
    assert raised.value.code == "invalid_api_key"
    assert "sk-" not in raised.value.message
    with pytest.raises(openai.AuthenticationError):
        served.client("sk-wrong").models.list()


def test_configured_models(served: Served) -> None:
    client = served.serve(ScriptedModel(Script(models=["qwen/max", "m"])))
    assert [model.id for model in client.models.list()] == ["qwen/max", "m"]
    assert client.models.retrieve("qwen/max").id == "qwen/max"
    assert ask(client, "x") == "x"
    with pytest.raises(openai.NotFoundError, match="'qwen/max', 'm'") as raised:
        client.models.retrieve("gpt")
    assert raised.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt", messages=user("x"))


def test_any_model_exists_without_a_list(served: Served) -> None:
    client = served.serve(ScriptedModel())
    assert [model.id for model in client.models.list()] == ["scripted"]
    assert client.models.retrieve("whatever").object == "model"


def test_other_paths_and_methods(served: Served) -> None:
    served.serve(ScriptedModel())
    assert served.post(b"{}", path="/v1/nothing").status_code == 404
    assert served.post(b"{}", path="/v1/models").headers["allow"] == "GET"
    assert httpx.get(f"{served.url}/v1/chat/completions", trust_env=False).status_code == 405
    with pytest.raises(openai.InternalServerError, match="does not serve") as raised:
        served.client(max_retries=3).images.generate(model="m", prompt="x")
    assert raised.value.status_code == 501


def test_delay_comes_before_the_first_byte(served: Served) -> None:
    client = served.run(Rule(When(), Reply("slow", delay=0.1)))
    started = time.monotonic()
    assert ask(client) == "slow"
    assert time.monotonic() - started >= 0.1
    started = time.monotonic()
    next(iter(client.chat.completions.create(model="m", messages=user("x"), stream=True)))
    assert time.monotonic() - started >= 0.1


def test_client_that_leaves_ends_the_stream(served: Served) -> None:
    client = served.run(Rule(When(), "word " * 300_000))
    answer = client.chat.completions.create(model="m", messages=user("x"), stream=True)
    next(iter(answer))
    answer.close()
    assert served.witness.returned.wait(5)
    assert 1 <= served.witness.bodies < 100_000


@pytest.mark.parametrize("streamed", [True, False])
def test_client_that_leaves_ends_the_delay(served: Served, streamed: bool) -> None:
    client = served.run(Rule(When(), Reply("never", delay=60))).with_options(timeout=0.2)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="m", messages=user("x"), stream=streamed)
    assert served.witness.returned.wait(5)
    assert served.witness.bodies == 0


@pytest.mark.asyncio
async def test_client_that_leaves_is_noticed_though_sending_never_waits() -> None:
    assert await _bodies_sent(words=10_000, after=[{"type": "http.disconnect"}]) < 100


@pytest.mark.asyncio
async def test_a_long_stream_leaves_room_for_others() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(others())
    assert await _bodies_sent(words=10_000, after=[]) > 10_000
    task.cancel()
    assert turns > 100


async def _bodies_sent(words: int, after: list[Message]) -> int:
    """Stream to a client that takes everything at once, and sends these messages after its request."""
    body = json.dumps({"model": "m", "messages": user("hi"), "stream": True}).encode()
    incoming: list[Message] = [{"type": "http.request", "body": body}, *after]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0) if incoming else await asyncio.get_running_loop().create_future()

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer k")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
    await ScriptedModel(Script([Rule(When(), "word " * words)]))(scope, receive, send)
    return sum(message["type"] == "http.response.body" for message in sent)


@pytest.mark.asyncio
async def test_async_client(served: Served) -> None:
    served.run(*WEATHER, Rule("hello", "Good morning"))
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="k", max_retries=0) as client:
        completions = client.chat.completions
        answers = await asyncio.gather(*(completions.create(model="m", messages=user(f"hello {i}")) for i in range(20)))
        assert {answer.choices[0].message.content for answer in answers} == {"Good morning"}
        assert len({answer.id for answer in answers}) == 20
        chunks = [chunk async for chunk in await completions.create(model="m", messages=user("hello"), stream=True)]
        assert content(chunks) == "Good morning"
        with pytest.raises(openai.BadRequestError):
            await completions.create(model="m", messages=[])


@pytest.mark.asyncio
async def test_in_process_without_a_server() -> None:
    transport = httpx.ASGITransport(app=ScriptedModel(Script([Rule("hi", "there")])))
    async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
        response = await client.post(
            "/v1/chat/completions",
            json={"model": "m", "messages": user("hi"), "stream": True},
            headers={"authorization": "Bearer k"},
        )
    assert response.text.endswith("data: [DONE]\n\n")
    assert '"content":"there"' in response.text
