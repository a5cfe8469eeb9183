"""What calls have used is counted from answers of any shape, and callers see only what they asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from agentrun.gateway.streaming.usage import StreamUsage, Usage, find_usage
from agentrun.gateway.streaming.usage_event import WithoutUsageEvent
from tests.gateway.answers import DONE, EVENTS, STREAM, USAGE, USAGE_EVENT, chunk_of, completion, event, streamed
from tests.gateway.serving import MESSAGES, before, chat
from tests.unit.servers import answer, stream

PRICED: Any = {"gateway": {"prices": {"*": {"input": 1, "output": 2}}}}
WITHOUT = STREAM.replace(USAGE_EVENT, b"")
LINE_ENDS = [b"\n", b"\r\n"]
SIZES = [1, 2, 3, 7, 64, 10_000]


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


async def filtered(pieces: Sequence[bytes]) -> bytes:
    each = WithoutUsageEvent()
    return b"".join([await each.feed(piece) for piece in pieces]) + await each.finish()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.asyncio
async def test_the_event_is_taken_out_wherever_the_stream_is_cut(size: int, end: bytes) -> None:
    assert await filtered(cut(STREAM.replace(b"\n", end), size)) == WITHOUT.replace(b"\n", end)


KEPT = {
    "a usage beside choices": event({"choices": [{"index": 0}], "usage": USAGE}),
    "an empty usage": event({"choices": [], "usage": None}),
    "text about usage": chunk_of('the "usage": {"prompt_tokens": 1} of a word'),
    "an event that is no JSON": b'data: "usage" {\n\n',
    "a comment": b': "usage": {}\n\n',
    "deep nesting": b'data: {"usage": ' + b"[" * 100_000 + b"\n\n",
}


@pytest.mark.parametrize("what", sorted(KEPT))
@pytest.mark.asyncio
async def test_other_events_stay(what: str) -> None:
    assert await filtered(cut(KEPT[what] + STREAM, 50)) == KEPT[what] + WITHOUT


@pytest.mark.asyncio
async def test_an_event_with_other_lines_goes_as_a_whole() -> None:
    named = b"id: 1\nevent: x\n" + USAGE_EVENT
    assert await filtered([named + DONE]) == DONE
    assert await filtered([DONE + named.rstrip()]) == DONE


@pytest.mark.asyncio
async def test_what_never_becomes_an_event_is_not_held_back_for_ever() -> None:
    each, passed = WithoutUsageEvent(), 0
    for _ in range(100):
        passed += len(await each.feed(b"x" * 2**16))
    assert passed > 95 * 2**16


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("text", [STREAM, STREAM.removesuffix(DONE), STREAM.removesuffix(DONE).rstrip()])
def test_tokens_are_counted_wherever_a_stream_is_cut(text: bytes, size: int, end: bytes) -> None:
    reader = StreamUsage()
    for piece in cut(text.replace(b"\n", end), size):
        reader.feed(piece)
    assert reader.finish() == Usage(7, 3)


@pytest.mark.parametrize("size", SIZES)
def test_events_are_counted_wherever_a_stream_is_cut(size: int) -> None:
    reader = StreamUsage()
    for piece in cut(chunk_of("data: data:") * 5, size):
        reader.feed(piece)
    assert (reader.finish(), reader.events) == (None, 5)


def test_the_usage_at_the_end_of_a_very_long_answer_is_found() -> None:
    reader = StreamUsage()
    for piece in cut(b'{"data": [' + b"0.123, " * 500_000 + b'], "usage": {"total_tokens": 9}}', 60_000):
        reader.feed(piece)
    assert reader.finish() == Usage(9, 0)


FOUND: list[tuple[bytes, Usage | None]] = [
    (b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}', Usage(1, 2)),
    (b'{"usage" : {"input_tokens":1,"output_tokens":2,"input_tokens_details":{"cached_tokens":1}}}', Usage(1, 2, 1)),
    (b'{"usage":{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}', Usage(5, 0, 4)),
    (b'{"usage":{"total_tokens":3}}', Usage(3, 0)),
    (b'{"usage":{"prompt_tokens":1}} {"usage":{"prompt_tokens":2}}', Usage(2, 0)),
    (b'{"usage":{"prompt_tokens":"many","completion_tokens":null}}', Usage(0, 0)),
    (b'{"usage":{"prompt_tokens":-5,"completion_tokens":1.5}}', Usage(0, 0)),
    (b'{"usage":null}', None),
    (b'{"usage":{"prompt_tokens":', None),
    (b'{"text":"the \\"usage\\": {\\"prompt_tokens\\": 1}"}', None),
    (b'{"usage":{"x":' + b"[" * 100_000, None),
    (b"\xff\xfe", None),
]


@pytest.mark.parametrize(("text", "usage"), FOUND)
def test_usage_is_found(text: bytes, usage: Usage | None) -> None:
    assert find_usage(text) == usage


def test_a_gateway_that_counts_asks_for_the_usage_and_takes_it_out_again() -> None:
    with before(streamed(), **PRICED) as (gateway, [server]):
        got = gateway.post(chat(stream=True, stream_options={"x": 1}))
        assert gateway.stats()["tokens"] == {"prompt": 7, "completion": 3, "cached": 0}
    assert got.content == WITHOUT
    assert json.loads(server.requests[0].body)["stream_options"] == {"x": 1, "include_usage": True}


def test_a_caller_that_asks_for_the_usage_gets_it() -> None:
    asks = chat(stream=True, stream_options={"include_usage": True})
    with before(streamed(), **PRICED) as (gateway, [server]):
        assert gateway.post(asks).content == STREAM
        with gateway.client() as client:
            *_, last = client.chat.completions.create(
                model="chat", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
    assert last.usage
    assert last.usage.total_tokens == 10
    assert json.loads(server.requests[0].body) == asks


def test_a_gateway_that_need_not_count_asks_for_nothing() -> None:
    with before(streamed()) as (gateway, [server]):
        assert gateway.post(chat(stream=True)).content == STREAM
    assert "stream_options" not in json.loads(server.requests[0].body)


@pytest.mark.parametrize("operation", ["responses", "embeddings"])
def test_only_chats_are_asked_for_their_usage(operation: str) -> None:
    whole = event({"type": "response.completed", "response": {"usage": {"input_tokens": 4, "output_tokens": 6}}})
    with before(streamed([whole]), **PRICED) as (gateway, [server]):
        assert gateway.post(chat(stream=True), f"/{operation}").content == whole
        assert gateway.stats()["tokens"] == {"prompt": 4, "completion": 6, "cached": 0}
    assert "stream_options" not in json.loads(server.requests[0].body)


def test_a_whole_answer_is_counted() -> None:
    details = {**USAGE, "prompt_tokens_details": {"cached_tokens": 5}}
    with before(completion(usage=details)) as (gateway, _):
        for _ in range(3):
            gateway.post()
        assert gateway.stats()["tokens"] == {"prompt": 21, "completion": 9, "cached": 15}


def test_what_says_nothing_of_its_usage_is_estimated() -> None:
    sent = chat(stream=True)
    with before(streamed([*map(chunk_of, "abcd"), DONE])) as (gateway, _):
        gateway.post(sent)
        tokens = gateway.stats()["tokens"]
    assert tokens["prompt"] == pytest.approx(len(json.dumps(sent)) / 4, abs=3)
    assert tokens["completion"] == pytest.approx(4, abs=1)


def test_a_stream_that_broke_off_is_counted_as_far_as_it_went() -> None:
    with before(stream(b"".join(EVENTS[:2]), end=b""), num_retries=0) as (gateway, _):
        gateway.post(chat(stream=True))
        assert gateway.stats()["tokens"]["completion"] == 2


def test_an_error_costs_nothing() -> None:
    with before(answer(b"{}", 400)) as (gateway, _):
        gateway.post()
        assert gateway.stats()["tokens"] == {"prompt": 0, "completion": 0, "cached": 0}
