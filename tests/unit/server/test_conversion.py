"""What frameworks give, without wrapping: each thing is told once, with nothing lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response
from pydantic import BaseModel, TypeAdapter

from agentrun.server.conversion import Conversion
from agentrun.server.events import AgentEvent, EventType

Told = list[tuple[Any, ...]]


def told(*items: Any) -> Told:
    """The events of a run that gives these, without their repetition of names."""
    conversion = Conversion()
    events = [event for item in items for event in conversion.convert(item)]
    return short([*events, *conversion.finish()])


def returned(value: Any) -> Told:
    return short(Conversion().returned(value))


def short(events: Iterable[AgentEvent]) -> Told:
    return [(event.event.value, *event.data.values()) for event in events]


def of_framework(package: str, **fields: Any) -> Any:
    """An object as a framework makes it: all that is known of it are its module and its fields."""
    return type("Foreign", (), {"__module__": f"{package}.messages", **fields})()


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (None, []),
        ("", []),
        ("hi", [("TEXT", "hi")]),
        (b"hi", [("TEXT", "hi")]),
        (["a", None, "b"], [("TEXT", "a"), ("TEXT", "b")]),
        ({"content": "c", "reasoning_content": "r"}, [("REASONING", "r"), ("TEXT", "c")]),
        ({"content": "c", "additional_kwargs": {"reasoning_content": "r"}}, [("REASONING", "r"), ("TEXT", "c")]),
        ({"role": "tool", "tool_call_id": "t", "content": "2"}, [("TOOL_RESULT", "t", "2")]),
        ({"event": "STATE", "data": {"snapshot": {"a": 1}}}, [("STATE", {"a": 1})]),
        (AgentEvent(event=EventType.RAW, data={"raw": "x"}), [("RAW", "x")]),
    ],
)
def test_plain_values(item: Any, expected: Told) -> None:
    assert told(item) == expected


def test_a_message_of_openai_as_an_object_of_json() -> None:
    call = {"id": "t", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    message = {"role": "assistant", "content": "I add", "tool_calls": [call]}
    assert told(message) == [("TEXT", "I add"), ("TOOL_CALL", "t", "add", '{"a":1}')]


def test_blocks_of_a_message() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "t", "name": "add", "input": {"a": 1}},
        {"type": "tool_result", "id": "t", "output": "2"},
    ]
    assert told({"role": "assistant", "content": blocks}) == [
        ("REASONING", "hm"),
        ("TEXT", "so"),
        ("TOOL_CALL", "t", "add", '{"a": 1}'),
        ("TOOL_RESULT", "t", "2"),
    ]


def test_an_object_that_is_no_message_is_shown_as_json_when_it_is_the_answer() -> None:
    assert returned({"weather": {"t": 20}}) == [("TEXT", '{"weather": {"t": 20}}')]
    assert returned({"t": 20}) == [("TEXT", '{"t": 20}')]
    assert returned({}) == []


def test_what_a_step_of_a_graph_changed_is_no_answer() -> None:
    assert told({"prepare": {"count": 1}}, {"prepare": None}) == []


# AgentScope 1: the same message comes again with more in it


def growing(message_id: str, *blocks: dict[str, Any]) -> Any:
    return of_framework("agentscope", id=message_id, role="assistant", content=list(blocks))


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def thinking(value: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": value}


def use(arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": "t", "name": "add", "input": arguments}


def test_only_what_is_new_in_a_growing_message_is_told() -> None:
    steps = [
        (growing("1", thinking("h")), False),
        (growing("1", thinking("hm"), text("An")), False),
        (growing("1", thinking("hm"), text("Answer")), True),
    ]
    assert told(*steps) == [("REASONING", "h"), ("REASONING", "m"), ("TEXT", "An"), ("TEXT", "swer")]


def test_two_texts_of_one_message_are_two() -> None:
    steps = [(growing("1", text("a")), False), (growing("1", text("a"), text("ab")), True)]
    assert told(*steps) == [("TEXT", "a"), ("TEXT", "ab")]


def test_a_message_of_text_alone_grows_too() -> None:
    def message(content: str) -> Any:
        return of_framework("agentscope", id="1", role="assistant", content=content)

    assert told((message("Hel"), False), (message("Hello"), True)) == [("TEXT", "Hel"), ("TEXT", "lo")]


@pytest.mark.parametrize("is_last", [True, False])
def test_a_call_is_told_when_its_arguments_are_whole(is_last: bool) -> None:
    result = {"type": "tool_result", "id": "t", "name": "add", "output": [text("2")]}
    steps = [
        (growing("1", text("I w"), use({})), False),
        (growing("1", text("I will"), use({"a": 1})), is_last),
        (growing("2", result), True),
    ]
    assert told(*steps) == [
        ("TEXT", "I w"),
        ("TEXT", "ill"),
        ("TOOL_CALL", "t", "add", '{"a": 1}'),
        ("TOOL_RESULT", "t", '[{"type": "text", "text": "2"}]'),
    ]


def test_a_call_that_nothing_follows_is_told_at_the_end() -> None:
    assert told((growing("1", use({"a": 1})), False)) == [("TOOL_CALL", "t", "add", '{"a": 1}')]


def test_a_result_that_grows_is_told_once_and_whole() -> None:
    steps = [
        (growing("2", {"type": "tool_result", "id": "t", "output": output}), last)
        for output, last in (("1", False), ("12", True))
    ]
    assert told(*steps) == [("TOOL_RESULT", "t", "12")]


def test_results_that_grow_side_by_side() -> None:
    def result(call_id: str, output: str) -> Any:
        return growing(f"of {call_id}", {"type": "tool_result", "id": call_id, "output": output})

    calls = growing("1", *({**use({}), "id": call_id} for call_id in "ab"))
    steps = [(calls, False), (result("a", "1"), False), (result("b", "x"), False), (result("a", "12"), True)]
    assert told(*steps, (result("b", "xy"), True)) == [
        ("TOOL_CALL", "a", "add", "{}"),
        ("TOOL_CALL", "b", "add", "{}"),
        ("TOOL_RESULT", "a", "12"),
        ("TOOL_RESULT", "b", "xy"),
    ]


# LangChain


def ai(kind: str = "ai", **fields: Any) -> Any:
    return of_framework("langchain_core", **{"type": kind, "id": "1", "tool_calls": [], **fields})


def test_pieces_of_langchain_and_the_whole_are_told_once() -> None:
    pieces = [ai("AIMessageChunk", content="He"), ai("AIMessageChunk", content="llo")]
    assert told(*pieces, ai(content="Hello")) == [("TEXT", "He"), ("TEXT", "llo")]


def test_the_end_of_a_stream_of_a_model_repeats_nothing_though_it_looks_like_a_piece() -> None:
    def step(kind: str, **data: Any) -> dict[str, Any]:
        return {"event": kind, "run_id": "r", "data": data}

    piece = ai("AIMessageChunk", content="Hello", id="lc_run--r")
    steps = [step("on_chat_model_stream", chunk=piece), step("on_chat_model_end", output=piece)]
    assert told(*steps) == [("TEXT", "Hello")]
    assert told(steps[1]) == [("TEXT", "Hello")]  # A model that did not stream.


def test_what_the_user_said_is_not_repeated() -> None:
    assert told({"messages": [ai("human", content="hi"), ai(content="hello")]}) == [("TEXT", "hello")]
    assert told(ai("human", content="hi")) == []


# OpenAI

CHUNK = TypeAdapter(ChatCompletionChunk)


def chunk(usage: Any = None, **delta: Any) -> ChatCompletionChunk:
    choices = [{"index": 0, "delta": delta}] if delta else []
    document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return CHUNK.validate_python({**document, "choices": choices, "usage": usage})


def call_piece(index: int, arguments: str, **begin: Any) -> dict[str, Any]:
    name = {"name": begin.pop("name")} if begin else {}
    return {"index": index, **begin, "function": {**name, "arguments": arguments}}


def test_chunks_with_parallel_calls() -> None:
    chunks = [
        chunk(role="assistant", content=""),
        chunk(reasoning_content="hm"),
        chunk(content="so"),
        chunk(tool_calls=[call_piece(0, "", id="a", name="add"), call_piece(1, "", id="b", name="sub")]),
        chunk(tool_calls=[call_piece(1, "{}")]),
        chunk(tool_calls=[call_piece(0, '{"x":')]),
        chunk(tool_calls=[call_piece(0, "1}")]),
        chunk(usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}),
    ]
    expected = [
        ("REASONING", "hm"),
        ("TEXT", "so"),
        ("TOOL_CALL_CHUNK", "a", "add", ""),
        ("TOOL_CALL_CHUNK", "b", "sub", ""),
        ("TOOL_CALL_CHUNK", "b", "{}"),
        ("TOOL_CALL_CHUNK", "a", '{"x":'),
        ("TOOL_CALL_CHUNK", "a", "1}"),
        ("USAGE", 3, 4),
    ]
    assert told(*chunks) == expected
    assert told(*(each.model_dump() for each in chunks)) == expected


def test_a_completion() -> None:
    call = {"id": "t", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    choice = {
        "index": 0,
        "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": "c", "tool_calls": [call]},
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    completion = ChatCompletion.model_validate(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    )
    assert told(completion) == [("TEXT", "c"), ("TOOL_CALL", "t", "add", "{}"), ("USAGE", 1, 2)]


RESPONSE = Response.model_construct(
    object="response",
    output=[
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "so"}]},
        {"type": "function_call", "call_id": "t", "name": "add", "arguments": "{}"},
    ],
)


def test_a_response() -> None:
    assert told(RESPONSE) == [("REASONING", "hm"), ("TEXT", "so"), ("TOOL_CALL", "t", "add", "{}")]


def test_the_events_of_a_response() -> None:
    item = {"type": "function_call", "call_id": "t", "name": "add", "arguments": ""}
    events: list[Any] = [
        {"type": "response.created", "response": {}},
        {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
        {"type": "response.output_text.delta", "delta": "so"},
        {"type": "response.output_item.added", "output_index": 2, "item": item},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}"},
        {"type": "response.completed", "response": RESPONSE},
    ]
    assert told(*events) == [
        ("REASONING", "hm"),
        ("TEXT", "so"),
        ("TOOL_CALL_CHUNK", "t", "add", ""),
        ("TOOL_CALL_CHUNK", "t", "{}"),
    ]
    failed = {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "no luck"}}}
    assert told(failed) == [("ERROR", "no luck", "server_error")]


# Results of frameworks


@dataclass
class Result:
    output: Any


class Data(BaseModel):
    a: int
    b: None = None


def test_the_result_of_a_run() -> None:
    assert returned(Result("done")) == [("TEXT", "done")]
    assert returned(Result(Data(a=1))) == [("TEXT", '{"a": 1}')]
    assert returned(Data(a=1)) == [("TEXT", '{"a":1}')]
    assert returned(42) == [("TEXT", "42")]


def test_the_result_behind_a_stream_repeats_nothing() -> None:
    assert told("do", "ne", Result("done")) == [("TEXT", "do"), ("TEXT", "ne")]
