"""Answers that are given again: to whom, in which form, for how long, and which ones are not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from agentrun.emulator import Reply, ReplyError
from agentrun.gateway.cache.answer_cache import LARGEST_ANSWER, AnswerCache, CachedAnswer, Lookup
from agentrun.gateway.call import Call, dump
from agentrun.gateway.state.memory import MemoryState
from agentrun.gateway.streaming.usage import Usage, find_usage
from agentrun.model.policies import CachePolicy, GatewayPolicies, SemanticCache
from tests.unit.gateway.answers import (
    HELLO,
    TOOL_CALL,
    answer_of,
    arguments,
    asked,
    chunk,
    chunks_in,
    contents,
    cuts,
    events,
    finishes,
    plan,
    streamed,
)
from tests.unit.gateway.clocks import ManualClock

COMPLETION: Mapping[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}
RESPONSE: Mapping[str, Any] = {
    "id": "r",
    "object": "response",
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}],
    "usage": {"input_tokens": 5, "output_tokens": 1, "total_tokens": 6, "input_tokens_details": {"cached_tokens": 1}},
}
Embed = Callable[[str], Awaitable[Sequence[float]]]


def cache_of(
    state: MemoryState | None = None, *, embed: Embed | None = None, threshold: float = 0.9, **policy: Any
) -> AnswerCache:
    if embed:
        policy["semantic"] = SemanticCache(model_service_name="embeddings", threshold=threshold)
    cache = AnswerCache.of(
        plan(GatewayPolicies(cache=CachePolicy(**policy)), cache=True), state or MemoryState(), embed
    )
    assert cache is not None
    return cache


async def keep(cache: AnswerCache, call: Call, body: bytes, model: str = "m") -> Lookup:
    """Answer a call that is not in the cache, and let the cache see it."""
    with cache.lookup(call, model) as lookup:
        assert await lookup.find() is None
        await record(lookup, body)
    return lookup


async def record(lookup: Lookup, *pieces: bytes) -> None:
    recorder = lookup.recorder()
    for piece in pieces:
        recorder.feed(piece)
    await recorder.keep()


async def find(cache: AnswerCache, call: Call, model: str = "m") -> CachedAnswer | None:
    with cache.lookup(call, model) as lookup:
        answer = await lookup.find()
    assert lookup.outcome == (answer.outcome if answer else "miss")
    return answer


async def found(cache: AnswerCache, call: Call, model: str = "m") -> bytes:
    answer = await find(cache, call, model)
    assert answer is not None
    assert answer.content_type.startswith("text/event-stream" if call.stream else "application/json")
    return answer.body


def unmarked(answer: bytes) -> dict[str, Any]:
    """An answer without what it says of caches."""
    fields: dict[str, Any] = json.loads(answer)
    fields["usage"].pop("prompt_tokens_details", None)
    return fields


def test_it_is_off_unless_a_proxy_says_so() -> None:
    assert AnswerCache.of(plan(), MemoryState()) is None
    assert AnswerCache.of(plan(cache=False), MemoryState()) is None


REPLIES = [
    Reply("Hello, 世界! It rains."),
    Reply("Let me see.", tool_calls=[TOOL_CALL], reasoning="A payment."),
    Reply("cut of", finish_reason="length"),
]


@pytest.mark.asyncio
@pytest.mark.parametrize("reply", REPLIES)
async def test_what_came_in_one_form_is_told_in_both(reply: Reply) -> None:
    plain, stream = await answer_of(reply), await streamed(reply)
    for body, streams in ((plain, False), (stream, True)):
        cache = cache_of()
        await keep(cache, asked(stream=streams), body)
        assert unmarked(await found(cache, asked())) == unmarked(plain)
        told = await found(cache, asked(stream=True))
        assert told.endswith(b"data: [DONE]\n\n")
        assert contents(told) == contents(stream)
        assert contents(told, "reasoning_content") == contents(stream, "reasoning_content") == reply.reasoning
        assert arguments(told) == arguments(stream)
        assert finishes(told) == finishes(stream)


@pytest.mark.asyncio
async def test_a_recorded_stream_is_the_same_wherever_it_was_cut() -> None:
    stream = await streamed(Reply("hi 世界", tool_calls=[TOOL_CALL]))
    answers = set[bytes]()
    for pieces in cuts(stream):
        cache = cache_of()
        with cache.lookup(asked(stream=True), "m") as lookup:
            await record(lookup, *pieces)
        answers.add(await found(cache, asked()))
    assert len(answers) == 1
    assert json.loads(answers.pop())["choices"][0]["message"]["content"] == "hi 世界"


@pytest.mark.asyncio
async def test_usage_says_that_the_whole_prompt_was_cached() -> None:
    cache = cache_of()
    await keep(cache, asked(), dump(COMPLETION))
    assert find_usage(await found(cache, asked())) == Usage(5, 1, cached=5)
    with_usage = await found(cache, asked(stream=True, stream_options={"include_usage": True}))
    assert find_usage(with_usage) == Usage(5, 1, cached=5)
    assert all("usage" not in each for each in chunks_in(await found(cache, asked(stream=True))))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "change",
    [
        {"user": "u"},
        {"metadata": {"a": "b"}},
        {"stream_options": {"include_usage": True}},
        {"model": "another name that is routed to the same"},
        {"temperature": None},
    ],
)
async def test_what_makes_no_difference_does_not_matter(change: Mapping[str, Any]) -> None:
    cache = cache_of()
    await keep(cache, asked(), dump(COMPLETION))
    assert await find(cache, asked(**change))


@pytest.mark.asyncio
async def test_order_and_white_space_do_not_matter() -> None:
    cache = cache_of()
    await keep(cache, asked(temperature=0.5), dump(COMPLETION))
    spaced = json.dumps(
        {"temperature": 0.5, "messages": [{"content": "hello", "role": "user"}], "model": "m"}, indent=2
    )
    assert await find(cache, Call.read("chat/completions", spaced.encode(), {}, asked().caller))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "other",
    [
        asked(temperature=1),
        asked(messages=[{"role": "user", "content": "hello "}]),
        asked(tools=[]),
        asked(n=2),
        asked(seed=1),
        asked(tenant="another"),
        asked(operation="completions"),
    ],
)
async def test_what_makes_a_difference_does(other: Call) -> None:
    cache = cache_of()
    await keep(cache, asked(), dump(COMPLETION))
    assert await find(cache, other) is None
    assert await find(cache, asked(), "another model") is None


@pytest.mark.asyncio
async def test_proxies_with_one_state_do_not_share() -> None:
    state = MemoryState()
    policy = CachePolicy()
    await keep(AnswerCache("proxy-1", policy, state), asked(), dump(COMPLETION))
    assert await find(AnswerCache("proxy-1", policy, state), asked())
    assert await find(AnswerCache("proxy-2", policy, state), asked()) is None


@pytest.mark.asyncio
async def test_answers_are_given_for_their_time(clock: ManualClock) -> None:
    cache = cache_of(MemoryState(clock), ttl_seconds=60)
    await keep(cache, asked(), dump(COMPLETION))
    clock.advance(59)
    assert await find(cache, asked())
    clock.advance(2)
    assert await find(cache, asked()) is None


@pytest.mark.asyncio
async def test_the_oldest_go_when_a_tenant_has_too_many() -> None:
    cache = cache_of(max_bytes=3 * len(dump(COMPLETION)))
    for number in range(4):
        await keep(cache, asked(seed=number), dump(COMPLETION))
    await keep(cache, asked(seed=0, tenant="another"), dump(COMPLETION))
    kept = [number for number in range(4) if await find(cache, asked(seed=number))]
    assert kept == [2, 3]
    assert await find(cache, asked(seed=0, tenant="another"))


@pytest.mark.asyncio
async def test_a_caller_may_want_a_new_answer_or_none_kept() -> None:
    cache = cache_of()
    await keep(cache, asked(headers={"cache-control": "no-store"}), dump(COMPLETION))
    assert await find(cache, asked()) is None
    await keep(cache, asked(), dump(COMPLETION))
    newer = dump({**COMPLETION, "id": "newer"})
    await keep(cache, asked(headers={"cache-control": "max-age=5, No-Cache"}), newer)
    assert json.loads(await found(cache, asked()))["id"] == "newer"
    assert await find(cache, asked(headers={"cache-control": "no-store"}))


CHUNK = chunk({"content": "a"})
END = chunk({}, finish="stop")
NOT_KEPT = {
    "an error": dump({"error": {"message": "no"}}),
    "no JSON": b'{"choices":',
    "no choices": dump({**COMPLETION, "choices": []}),
    "no finish": dump({**COMPLETION, "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": None}]}),
    "filtered": dump({**COMPLETION, "choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}),
    "failed": dump({**COMPLETION, "choices": [{"message": {"content": ""}, "finish_reason": "error"}]}),
    "strange": dump({**COMPLETION, "choices": ["a"]}),
    "a cut stream": events(CHUNK, done=False),
    "a choice without an end": events(CHUNK, chunk({"content": "b"}, index=1), END),
    "an error in a stream": events(CHUNK, {"error": {"message": "overloaded"}}, END),
    "half an event": events(CHUNK, END)[:-40],
    "no event": b"data: what?\n\n",
    "unknown parts": events(CHUNK, chunk({"audio": {"data": "aGk="}}), END),
    "nothing": b"",
    "too much": events(chunk({"content": "a" * LARGEST_ANSWER}), END),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", NOT_KEPT)
async def test_only_whole_good_answers_are_kept(name: str) -> None:
    cache = cache_of()
    for stream in (False, True):
        await keep(cache, asked(stream=stream), NOT_KEPT[name])
        assert await find(cache, asked(stream=stream)) is None


@pytest.mark.asyncio
async def test_an_error_of_a_model_is_not_kept() -> None:
    cache = cache_of()
    await keep(cache, asked(), await answer_of(Reply(error=ReplyError(503))))
    assert await find(cache, asked()) is None


@pytest.mark.asyncio
async def test_a_chat_that_has_no_form_as_a_stream_is_given_as_it_is() -> None:
    cache = cache_of()
    odd = {"index": 0, "message": {"content": "a", "audio": {"id": "1"}}, "finish_reason": "stop"}
    await keep(cache, asked(), dump({**COMPLETION, "choices": [odd]}))
    assert json.loads(await found(cache, asked()))["choices"] == [odd]
    assert await find(cache, asked(stream=True)) is None


@pytest.mark.asyncio
async def test_responses_are_kept_apart_by_form() -> None:
    cache, question = cache_of(), {"model": "m", "input": "hello"}
    plain, stream = asked(question, operation="responses"), asked(question, operation="responses", stream=True)
    await keep(cache, plain, dump(RESPONSE))
    assert json.loads(await found(cache, plain))["usage"]["input_tokens_details"]["cached_tokens"] == 5
    assert await find(cache, stream) is None
    created = b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n'
    ended = b"event: response.%b\n" + events({"type": "response.completed", "response": RESPONSE}, done=False)
    await keep(cache, stream, created + ended % b"completed")
    told = await found(cache, stream)
    assert told.startswith(created + b"event: response.completed\ndata: {")
    assert chunks_in(told)[-1]["response"]["usage"]["input_tokens_details"]["cached_tokens"] == 5


@pytest.mark.asyncio
async def test_responses_of_a_model_are_told_as_they_came() -> None:
    question = {"model": "m", "input": "hello"}
    for stream in (False, True):
        cache = cache_of()
        call = asked(question, operation="responses", stream=stream)
        body = await answer_of(Reply("hi", reasoning="A greeting."), call.fields, operation="responses")
        await keep(cache, call, body)
        told = await found(cache, call)
        assert told.count(b"\n\n") == body.count(b"\n\n")
        assert find_usage(told) == replace(find_usage(body) or Usage(), cached=2)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", ["incomplete", "failed", "queued"])
async def test_responses_that_are_not_complete_are_not_kept(status: str) -> None:
    cache, question = cache_of(), {"model": "m", "input": "hello"}
    answer = {**RESPONSE, "status": status}
    call, stream = asked(question, operation="responses"), asked(question, operation="responses", stream=True)
    await keep(cache, call, dump(answer))
    await keep(cache, stream, events({"type": f"response.{status}", "response": answer}, done=False))
    assert await find(cache, call) is None
    assert await find(cache, stream) is None


@pytest.mark.asyncio
async def test_a_conversation_that_the_endpoint_keeps_is_not_cached() -> None:
    cache = cache_of()
    call = asked({"model": "m", "input": "hello", "conversation": "conv_1"}, operation="responses")
    await keep(cache, call, dump(RESPONSE))
    assert await find(cache, call) is None


@pytest.mark.asyncio
async def test_embeddings_are_kept() -> None:
    cache, call = cache_of(), asked({"model": "m", "input": "hello"}, operation="embeddings")
    answer = {"object": "list", "data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    await keep(cache, call, dump(answer))
    assert json.loads(await found(cache, call))["data"] == answer["data"]


@pytest.mark.parametrize("operation", ["embeddings", "rerank", "moderations"])
@pytest.mark.parametrize("answer", [{"detail": "no"}, {"error": "no", "data": []}, {"data": "no"}])
@pytest.mark.asyncio
async def test_what_is_no_answer_is_not_kept(operation: str, answer: Mapping[str, Any]) -> None:
    cache, call = cache_of(), asked({"model": "m", "input": "hello"}, operation=operation)
    await keep(cache, call, dump(answer))
    assert await find(cache, call) is None


class BrokenState(MemoryState):
    """State that nobody reaches."""

    async def find(self, key: str) -> bytes | None:
        raise ConnectionError(key)

    async def keep(self, key: str, value: bytes, ttl_seconds: float, group: str, group_bytes: int) -> None:
        raise ConnectionError(key)


@pytest.mark.asyncio
async def test_without_its_state_all_calls_go_on() -> None:
    cache = cache_of(BrokenState())
    await keep(cache, asked(), dump(COMPLETION))
    assert await find(cache, asked()) is None


@pytest.mark.asyncio
async def test_the_same_call_waits_for_the_one_under_way() -> None:
    cache, sent = cache_of(), list[int]()
    arrived = asyncio.Event()

    async def one(number: int) -> bytes:
        with cache.lookup(asked(user=str(number)), "m") as lookup:
            if answer := await lookup.find():
                return answer.body
            sent.append(number)
            await arrived.wait()
            await record(lookup, dump(COMPLETION))
        return b"its own"

    calls = [asyncio.create_task(one(number)) for number in range(5)]
    await asyncio.sleep(0.01)
    arrived.set()
    answers = await asyncio.gather(*calls)
    assert sent == [0]
    assert answers.count(b"its own") == 1


@pytest.mark.asyncio
async def test_who_waits_goes_on_when_the_first_one_fails_or_leaves() -> None:
    cache = cache_of()
    with cache.lookup(asked(), "m") as first:
        assert await first.find() is None
        waiting = [asyncio.create_task(find(cache, asked())) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        waiting.pop().cancel()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 1) == [None, None]
    assert await find(cache, asked()) is None


@pytest.mark.asyncio
async def test_streams_wait_for_nobody() -> None:
    cache = cache_of()
    with cache.lookup(asked(), "m") as first, cache.lookup(asked(stream=True), "m") as stream:
        assert await first.find() is None
        assert await stream.find() is None
    with cache.lookup(asked(headers={"cache-control": "no-store"}), "m") as other, cache.lookup(asked(), "m") as call:
        assert await other.find() is None
        assert await call.find() is None


VECTORS = {
    "How is the weather in Paris?": [1.0, 0.1],
    "What is the weather like in Paris?": [1.0, 0.2],
    "Who wrote Faust?": [0.1, 1.0],
    "no direction": [0.0, 0.0],
    "no number": [float("nan"), 1.0],
}


async def embed(text: str) -> Sequence[float]:
    return VECTORS[text]


def question(text: str, *before: Mapping[str, Any], **more: Any) -> Call:
    return asked({"model": "m", "messages": [*before, {"role": "user", "content": text}]}, **more)


@pytest.mark.asyncio
async def test_an_answer_is_found_by_meaning() -> None:
    cache = cache_of(embed=embed)
    await keep(cache, question("How is the weather in Paris?"), dump(COMPLETION))
    alike = await find(cache, question("What is the weather like in Paris?"))
    assert alike is not None
    assert alike.outcome == "semantic"
    assert json.loads(alike.body)["choices"][0]["message"]["content"] == "hi"
    same = await find(cache, question("How is the weather in Paris?"))
    assert same is not None
    assert same.outcome == "hit"
    assert await find(cache, question("Who wrote Faust?")) is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "other",
    [
        question("What is the weather like in Paris?", {"role": "system", "content": "Be brief."}),
        question("What is the weather like in Paris?", temperature=0),
        question("What is the weather like in Paris?", tenant="another"),
        question("no direction"),
        question("no number"),
        question("an unknown text"),
        asked(messages=[]),
        asked({"model": "m", "input": "What is the weather like in Paris?"}, operation="responses"),
    ],
)
async def test_all_else_must_be_the_same_and_a_failure_is_a_miss(other: Call) -> None:
    cache = cache_of(embed=embed)
    await keep(cache, question("How is the weather in Paris?"), dump(COMPLETION))
    assert await find(cache, other) is None
    await keep(cache, other, dump(COMPLETION))


@pytest.mark.asyncio
async def test_pictures_beside_the_words_must_be_the_same() -> None:
    def shown(text: str, picture: str) -> Call:
        parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": picture}}]
        return asked(messages=[{"role": "user", "content": parts}])

    cache = cache_of(embed=embed)
    await keep(cache, shown("How is the weather in Paris?", "a"), dump(COMPLETION))
    assert await find(cache, shown("What is the weather like in Paris?", "a"))
    assert await find(cache, shown("What is the weather like in Paris?", "b")) is None


@pytest.mark.asyncio
async def test_answers_whose_time_is_over_are_not_found_by_meaning(clock: ManualClock) -> None:
    cache = cache_of(MemoryState(clock), embed=embed, ttl_seconds=60)
    await keep(cache, question("How is the weather in Paris?"), dump(COMPLETION))
    clock.advance(61)
    assert await find(cache, question("What is the weather like in Paris?")) is None
    assert len(cache.index("t")) == 0


@pytest.mark.asyncio
async def test_a_text_is_embedded_once_for_a_call() -> None:
    texts = list[str]()

    async def counted(text: str) -> Sequence[float]:
        texts.append(text)
        return VECTORS[text]

    cache = cache_of(embed=counted)
    await keep(cache, question("Who wrote Faust?"), dump(COMPLETION))
    await find(cache, question("Who wrote Faust?"))
    assert texts == ["Who wrote Faust?"]
    await keep(cache, question("Who wrote Faust?", headers={"cache-control": "no-cache"}), dump(COMPLETION))
    assert len(texts) == 2
    assert len(cache.index("t")) == 1


@pytest.mark.asyncio
async def test_tenants_have_vectors_of_their_own_and_not_without_end() -> None:
    cache = cache_of(embed=embed)
    first = cache.index("first")
    assert cache.index("first") is first
    for number in range(64):
        cache.index(str(number))
    assert cache.index("first") is not first


def test_what_calls_are_read_from_is_not_changed() -> None:
    call = asked()
    assert cache_of().lookup(call, "m").key.startswith("answer:")
    assert call.fields == HELLO
