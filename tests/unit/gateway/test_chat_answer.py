"""A chat as one object and as chunks: the same answer in both forms, and none that was not understood."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentrun.emulator import Reply
from agentrun.gateway.cache.chat_answer import ChatJoin, UnknownPartError, chunks_of
from agentrun.gateway.streaming.events import EventSplitter, data_of
from tests.unit.gateway.answers import TOOL_CALL, answer_of, chunk, chunks_in, cuts, streamed

REPLIES = [
    Reply("Hello, 世界! It rains."),
    Reply("", tool_calls=[TOOL_CALL, TOOL_CALL]),
    Reply("Let me see.", tool_calls=[TOOL_CALL], reasoning="A payment."),
    Reply("cut of", finish_reason="length"),
    Reply(""),
]
RICH: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "system_fingerprint": "fp",
    "provider": {"name": "of its own"},
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "a", "refusal": None, "reasoning_content": "because"},
            "logprobs": {"content": [{"token": "a", "logprob": -0.5}], "refusal": None},
            "finish_reason": "stop",
            "stop_reason": 17,
        },
        {
            "index": 1,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": "no",
                "function_call": {"name": "f", "arguments": "{}"},
            },
            "logprobs": None,
            "finish_reason": "function_call",
        },
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}


def join(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    whole = ChatJoin()
    for each in chunks:
        whole.add(each)
    return whole.whole()


@pytest.mark.asyncio
@pytest.mark.parametrize("reply", REPLIES)
async def test_a_stream_put_together_is_what_the_model_answers_without(reply: Reply) -> None:
    assert join(chunks_in(await streamed(reply))) == json.loads(await answer_of(reply))


@pytest.mark.asyncio
@pytest.mark.parametrize("reply", REPLIES)
async def test_taken_apart_and_put_together_it_is_the_same(reply: Reply) -> None:
    answer = json.loads(await answer_of(reply))
    assert join(list(chunks_of(answer, with_usage=True))) == answer


def test_also_with_reasoning_several_choices_and_probabilities() -> None:
    assert join(list(chunks_of(RICH, with_usage=True))) == RICH
    without = {name: value for name, value in RICH.items() if name != "usage"}
    assert join(list(chunks_of(RICH, with_usage=False))) == without


@pytest.mark.parametrize(
    "delta",
    [
        {"audio": {"data": "UklGRg=="}},
        {"content": [{"type": "text", "text": "a"}]},
        {"tool_calls": [{"id": "1", "function": {"name": "f"}}]},
        {"tool_calls": [{"index": 0, "extra_content": {"signature": "s"}}]},
        {"tool_calls": [{"index": 0, "id": "1"}, {"index": 0, "id": "2"}]},
        {"tool_calls": "f"},
    ],
)
def test_what_is_not_known_is_refused(delta: dict[str, Any]) -> None:
    with pytest.raises(UnknownPartError):
        join([chunk(delta)])


def test_what_differs_between_chunks_is_refused_unless_it_is_noise() -> None:
    again = chunk({"content": "b"}, obfuscation="y") | {"created": 2}
    assert join([chunk({"content": "a"}, obfuscation="x"), again])["choices"][0]["message"]["content"] == "ab"
    with pytest.raises(UnknownPartError, match="x_groq"):
        join([chunk({"content": "a"}, x_groq={"id": 1}), chunk({"content": "b"}, x_groq={"usage": {}})])


def test_fields_that_say_nothing_are_no_obstacle() -> None:
    chunks = [chunk({"content": "a", "annotations": [], "audio": None}, prompt_token_ids=None)]
    assert join(chunks)["choices"][0]["message"]["content"] == "a"


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_events_are_told_apart_wherever_they_are_cut(end: bytes) -> None:
    whole = [b": ping" + end, b"event: a" + end[: len(end) // 2] + b"data: 1" + end, b"data:  2" + end]
    for pieces in cuts(b"".join(whole)):
        splitter = EventSplitter()
        assert [event for piece in pieces for event in splitter.feed(piece)] == whole
        assert splitter.end() == []
    assert [data_of(event) for event in whole] == [b"", b"1", b" 2"]
