"""Chat completions, driven by the client of OpenAI over TCP."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from agentrun.server import AgentEvent, AgentRequest, EventType, MessageRole, OpenAIProtocolConfig, ServerConfig
from tests.unit.server.agents import Listening, Watched, agent, event
from tests.unit.server.serving import ASKED, PATIENCE, Served, serving

CHAT = "/openai/v1/chat/completions"


def streamed(served: Served, **options: Any) -> list[ChatCompletionChunk]:
    with served.openai() as client:
        stream: Any = client.chat.completions.create(model="agentrun", messages=ASKED, stream=True, **options)
        return list(stream)


def whole(served: Served, **options: Any) -> Any:
    with served.openai() as client:
        create: Any = client.chat.completions.create
        return create(model="agentrun", messages=ASKED, **options)


def deltas(chunks: list[ChatCompletionChunk], name: str) -> str:
    return "".join(getattr(chunk.choices[0].delta, name, None) or "" for chunk in chunks if chunk.choices)


def calls(chunks: list[ChatCompletionChunk]) -> list[dict[str, str]]:
    """The calls of a stream, put together as clients do."""
    found: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for piece in chunk.choices[0].delta.tool_calls or ():
            assert piece.function is not None
            if piece.id:
                found[piece.index] = {"id": piece.id, "name": piece.function.name or "", "arguments": ""}
            found[piece.index]["arguments"] += piece.function.arguments or ""
    return [found[index] for index in range(len(found))]


def whole_calls(message: Any) -> list[dict[str, str]]:
    return [{"id": call.id, **call.function.model_dump()} for call in message.tool_calls]


def reason(chunks: list[ChatCompletionChunk]) -> str | None:
    """Why the answer ended, which only the last chunk of a choice says."""
    with_choice = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert all(choice.finish_reason is None for choice in with_choice[:-1])
    return with_choice[-1].finish_reason


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_text(loop: str) -> None:
    with serving(agent("Hel", "lo"), loop=loop) as served:
        chunks = streamed(served)
        answer = whole(served)
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hel", "lo", None]
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", None, None]
    assert len({chunk.id for chunk in chunks}) == 1
    assert {(chunk.model, chunk.object) for chunk in chunks} == {("agentrun", "chat.completion.chunk")}
    assert reason(chunks) == answer.choices[0].finish_reason == "stop"
    assert (answer.choices[0].message.role, answer.choices[0].message.content) == ("assistant", "Hello")
    assert answer.usage is None


def test_nothing_said() -> None:
    with serving(agent()) as served:
        chunks = streamed(served)
        answer = whole(served)
    assert (deltas(chunks, "role"), deltas(chunks, "content"), reason(chunks)) == ("assistant", "", "stop")
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("", "stop")


def test_reasoning() -> None:
    with serving(agent(event("REASONING", delta="h"), event("REASONING", delta="m"), "so")) as served:
        chunks = streamed(served)
        message = whole(served).choices[0].message
    assert (deltas(chunks, "reasoning_content"), deltas(chunks, "content")) == ("hm", "so")
    assert (message.reasoning_content, message.content) == ("hm", "so")


ADD = {"id": "a", "name": "add", "arguments": '{"x":1}'}
SUB = {"id": "b", "name": "sub", "arguments": "{}"}


WHOLE = [event("TOOL_CALL", id="a", name="add", args='{"x":1}')]
IN_PIECES = [
    event("TOOL_CALL_CHUNK", id="a", name="add", args_delta=""),
    event("TOOL_CALL_CHUNK", id="a", args_delta='{"x"'),
    event("TOOL_CALL_CHUNK", id="a", args_delta=":1}"),
]


@pytest.mark.parametrize("events", [WHOLE, IN_PIECES, IN_PIECES + WHOLE], ids=["whole", "in pieces", "both"])
def test_one_call_that_the_client_is_to_carry_out(events: list[AgentEvent]) -> None:
    with serving(agent("I add", *events)) as served:
        chunks = streamed(served)
        answer = whole(served).choices[0]
    assert calls(chunks) == whole_calls(answer.message) == [ADD]
    assert reason(chunks) == answer.finish_reason == "tool_calls"
    assert deltas(chunks, "content") == answer.message.content == "I add"


PARALLEL = [
    event("TOOL_CALL_CHUNK", id="a", name="add", args_delta='{"x"'),
    event("TOOL_CALL_CHUNK", id="b", name="sub", args_delta="{"),
    event("TOOL_CALL_CHUNK", id="a", args_delta=":1}"),
    event("TOOL_CALL_CHUNK", id="b", args_delta="}"),
]


def test_parallel_calls_whose_pieces_are_mixed() -> None:
    with serving(agent(*PARALLEL)) as served:
        chunks = streamed(served)
        answer = whole(served).choices[0]
    assert calls(chunks) == whole_calls(answer.message) == [ADD, SUB]
    assert reason(chunks) == answer.finish_reason == "tool_calls"
    assert answer.message.content is None


@pytest.mark.parametrize(
    "more",
    [["3"], [event("TOOL_RESULT", id="a", result="1"), event("TOOL_RESULT", id="b", result="2")]],
    ids=["text follows", "results follow"],
)
def test_calls_that_the_agent_carried_out_itself_are_not_left_to_the_client(more: list[Any]) -> None:
    with serving(agent(*PARALLEL, *more)) as served:
        assert reason(streamed(served)) == whole(served).choices[0].finish_reason == "stop"


def test_one_call_of_two_is_left_to_the_client() -> None:
    with serving(agent(*PARALLEL, event("TOOL_RESULT", id="a", result="1"))) as served:
        assert reason(streamed(served)) == "tool_calls"


def test_usage() -> None:
    spent = [event("USAGE", input_tokens=3, output_tokens=4), event("USAGE", input_tokens=10, output_tokens=0)]
    with serving(agent("so", *spent)) as served:
        chunks = streamed(served, stream_options={"include_usage": True})
        without = streamed(served)
        answer = whole(served)
    expected = {"prompt_tokens": 13, "completion_tokens": 4, "total_tokens": 17}
    assert (chunks[-1].choices, chunks[-1].usage and chunks[-1].usage.model_dump(exclude_none=True)) == ([], expected)
    assert [chunk.usage for chunk in chunks[:-1] + without] == [None] * (2 + 2)
    assert answer.usage.model_dump(exclude_none=True) == expected


def test_usage_that_nobody_knows_is_not_zero() -> None:
    with serving(agent("so")) as served:
        last = streamed(served, stream_options={"include_usage": True})[-1]
    assert (last.choices, last.usage) == ([], None)


@pytest.mark.parametrize("stream", [True, False])
def test_an_error_before_the_first_word_is_an_error_of_the_request_and_not_tried_again(stream: bool) -> None:
    runs: list[int] = []

    def handler(_: AgentRequest) -> str:
        runs.append(1)
        raise RuntimeError("no luck")

    with serving(handler) as served, pytest.raises(openai.InternalServerError) as raised:
        list(streamed(served) if stream else whole(served))
    assert (raised.value.status_code, raised.value.type, raised.value.code) == (500, "internal_error", "RuntimeError")
    assert "no luck" in str(raised.value)
    assert len(runs) == 1


def test_an_error_between_words_is_raised_behind_them() -> None:
    with serving(agent("one", RuntimeError("no luck"))) as served, served.openai() as client:
        chunks = iter(client.chat.completions.create(model="x", messages=ASKED, stream=True))
        assert next(chunks).choices[0].delta.content == "one"
        with pytest.raises(openai.APIError, match="no luck"):
            next(chunks)
        with pytest.raises(openai.InternalServerError, match="no luck"):
            whole(served)


@pytest.mark.parametrize("stream", [True, False])
def test_an_agent_that_interrupts_itself_is_no_client_that_has_gone(stream: bool) -> None:
    async def handler(_: AgentRequest) -> str:
        raise asyncio.CancelledError

    with serving(handler) as served, pytest.raises(openai.InternalServerError, match="interrupted"):
        list(streamed(served) if stream else whole(served))


def test_a_stream_with_an_error_has_no_sign_of_success() -> None:
    with serving(agent("one", RuntimeError("no luck"))) as served:
        text = served.post(CHAT, {"messages": ASKED, "stream": True}).text
    assert text.endswith('"code": "RuntimeError"}}\n\n')
    assert "[DONE]" not in text
    assert '"finish_reason":"' not in text


@pytest.mark.parametrize("stream", [True, False])
def test_an_agent_is_stopped_when_its_client_has_gone(stream: bool) -> None:
    watched = Watched()
    with serving(watched) as served:
        with httpx.Client(trust_env=False) as http:
            thread = threading.Thread(target=_ask, args=(http, served, stream))
            thread.start()
            assert watched.waits.wait(PATIENCE)
            assert not watched.stopped.is_set()
            thread.join(PATIENCE)  # Its client gives up after a moment.
        assert watched.stopped.wait(PATIENCE / 2)


@pytest.mark.parametrize("stream", [True, False])
def test_an_agent_that_never_waits_keeps_nobody_waiting_and_is_stopped_too(stream: bool) -> None:
    stopped = threading.Event()

    async def handler(_: AgentRequest) -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        finally:
            stopped.set()

    body = {"messages": ASKED, "stream": stream}
    with serving(handler) as served:
        with served.connect() as connection:
            content = json.dumps(body).encode()
            head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
            connection.sendall(head.encode() + content)
            assert served.http.get(f"{served.root}/health", timeout=PATIENCE).status_code == 200
            assert not stopped.is_set()
        assert stopped.wait(PATIENCE / 2)


def _ask(http: httpx.Client, served: Served, stream: bool) -> None:
    with pytest.raises(httpx.ReadTimeout):
        http.post(f"{served.root}{CHAT}", json={"messages": ASKED, "stream": stream}, timeout=1.0)


def test_an_agent_is_held_back_when_nobody_reads_and_the_words_arrive_in_the_end() -> None:
    made = [0]
    word = "x" * 1000

    def handler(_: AgentRequest) -> Iterator[str]:
        for _number in range(20_000):
            made[0] += 1
            yield word

    body = {"messages": ASKED, "stream": True}
    with serving(handler) as served, served.http.stream("POST", f"{served.root}{CHAT}", json=body) as answer:
        before = -1
        while before != made[0]:  # Until it stands still.
            before = made[0]
            time.sleep(0.5)
        assert 0 < before < 19_000
        received = sum(line.count(word) for line in answer.iter_lines())
    assert received == made[0] == 20_000


def test_all_that_was_asked_reaches_the_agent() -> None:
    listening = Listening()
    tool: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    call: Any = {"id": "t", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    parts: Any = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    messages: Any = [
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t", "content": "2"},
    ]
    with serving(listening) as served, served.openai() as client:
        client.chat.completions.create(
            model="m",
            messages=messages,
            tools=[tool],
            temperature=0.5,
            user="ada",
            extra_headers={"x-agentrun-session-id": "s1"},
            extra_body={"protocol": "other", "raw_request": 1},
        )
    request = listening.request
    roles = [message.role for message in request.messages]
    assert roles == [MessageRole.SYSTEM, MessageRole.USER, MessageRole.ASSISTANT, MessageRole.TOOL]
    assert request.messages[1].text == "look"
    assert request.messages[1].content == parts
    assert [made.model_dump() for made in request.messages[2].tool_calls or ()] == [call]
    assert request.messages[3].tool_call_id == "t"
    assert [given.model_dump() for given in request.tools or ()] == [tool]
    assert (request.protocol, request.stream, request.session_id, request.user_id) == ("openai", False, "s1", "ada")
    assert (getattr(request, "temperature", None), getattr(request, "model", None)) == (0.5, "m")
    assert request.raw_request.headers["x-agentrun-session-id"] == "s1"
    assert "x-agentrun-session-id" not in repr(request)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({}, "messages", "Missing required field: messages"),
        ({"messages": []}, "messages", "nothing to answer"),
        ({"messages": "hi"}, "messages", "messages is a str, not a list"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "'system', 'user'"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "valid string"),
        ({"messages": ["hi"]}, "messages[0]", "messages[0]"),
        ({"messages": ASKED, "n": 2}, "n", "one answer"),
        ({"messages": ASKED, "stream": "yes"}, "stream", "true or false"),
        ({"messages": ASKED, "tools": [{"type": "function"}]}, "tools[0].function", "Field required"),
        ({"messages": ASKED, "stream_options": 7}, "stream_options", "not an object"),
        (b"{", None, "not JSON"),
        (b"[1]", None, "not a JSON object"),
        (b"\xff", None, "not JSON"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(body: Any, param: str | None, message: str) -> None:
    with serving(agent("never")) as served:
        answer = served.post(CHAT, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert message in error["message"]


def test_a_request_that_is_too_long_is_refused_however_it_comes() -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    with serving(agent("never"), ServerConfig(max_body_bytes=1000)) as served:
        announced = served.post(CHAT, b" " * 2000)
        chunked = served.http.post(f"{served.root}{CHAT}", content=pieces())
        assert served.post(CHAT, {"messages": ASKED}).status_code == 200
    assert (announced.status_code, chunked.status_code) == (413, 413)
    assert "max_body_bytes" in announced.json()["error"]["message"]


def test_the_agent_is_a_model_of_the_name_it_was_given() -> None:
    config = ServerConfig(openai=OpenAIProtocolConfig(prefix="/v1", model_name="ada/one"))
    with (
        serving(agent("ok"), config) as served,
        openai.OpenAI(base_url=f"{served.root}/v1", api_key="none", timeout=PATIENCE) as client,
    ):
        assert [model.id for model in client.models.list()] == ["ada/one"]
        assert client.models.retrieve("ada/one").owned_by == "agentrun"
        with pytest.raises(openai.NotFoundError, match="the agent is called 'ada/one'"):
            client.models.retrieve("other")
        assert client.chat.completions.create(model="x", messages=ASKED).model == "ada/one"


def test_a_configuration_without_names_changes_none() -> None:
    with serving(agent("ok"), ServerConfig(openai=OpenAIProtocolConfig())) as served:
        assert whole(served).model == "agentrun"


def test_additions_and_raw_frames_and_questions_arrive() -> None:
    more = AgentEvent(event=EventType.TEXT, data={"delta": "a"}, addition={"mood": "good"})
    frame = event("RAW", raw=": a remark")
    question = event("HITL", id="h", type="confirm", prompt="May I?")
    with serving(agent(more, frame, question, event("CUSTOM", name="x", value=1))) as served:
        chunks = streamed(served)
        text = served.post(CHAT, {"messages": ASKED, "stream": True}).text
        message = whole(served).choices[0].message
    assert chunks[0].choices[0].delta.model_dump(exclude_none=True)["mood"] == message.mood == "good"
    assert "\n\n: a remark\n\n" in text
    assert deltas(chunks, "content") == message.content == "aMay I?"


def test_streams_of_many_clients_do_not_mix() -> None:
    def handler(request: AgentRequest) -> Iterator[str]:
        for _ in range(50):
            yield request.messages[0].text

    def ask(name: str) -> None:
        with served.openai() as client:
            asked: Any = [{"role": "user", "content": name}]
            answer = list(client.chat.completions.create(model="m", messages=asked, stream=True))
            answers[name] = deltas(answer, "content")

    answers: dict[str, str] = {}
    with serving(handler) as served:
        threads = [threading.Thread(target=ask, args=(f"{number},",)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert answers == {f"{number},": f"{number}," * 50 for number in range(16)}
