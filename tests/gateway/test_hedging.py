"""A second endpoint is asked when the first is slow, if that is wanted; the quicker answer is the caller's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from agentrun.gateway.routing.hedge import hedged
from tests.gateway.answers import STREAM, completion, refusal, streamed
from tests.gateway.serving import before, chat, one, serving_gateway, wait_until
from tests.gateway.test_callers import silent
from tests.gateway.upstream import upstream
from tests.unit.servers import after, serving

HEDGE: Any = {"gateway": {"retry": {"hedge_after_seconds": 0.1}}}


def said(answer: Any) -> str:
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def test_a_slow_endpoint_is_overtaken_and_left() -> None:
    with upstream(silent) as slow, serving(completion("quick")) as quick:
        both = one(slow.url, quick.url, **HEDGE)
        with serving_gateway(both) as gateway:
            answer = gateway.post()
            wait_until(lambda: slow.left_at)
            assert gateway.stats()["endpoints"][0]["healthy"]
    assert (said(answer), answer.headers["x-agentrun-attempts"]) == ("quick", "2")


def test_a_stream_is_overtaken_too() -> None:
    with (
        upstream(silent) as slow,
        serving(streamed()) as quick,
        serving_gateway(one(slow.url, quick.url, **HEDGE)) as gateway,
    ):
        assert gateway.post(chat(stream=True)).content == STREAM


def test_the_first_may_still_win() -> None:
    with before(after(0.3, completion("first")), after(60, completion("second")), **HEDGE) as (gateway, [_, second]):
        answer = gateway.post()
    assert (said(answer), len(second.requests)) == ("first", 1)


def test_a_quick_endpoint_is_asked_alone() -> None:
    slow: Any = {"gateway": {"retry": {"hedge_after_seconds": 5}}}
    with before(completion(), completion(), **slow) as (gateway, servers):
        for _ in range(10):
            assert gateway.post().headers["x-agentrun-attempts"] == "1"
    assert sum(len(server.requests) for server in servers) == 10


@pytest.mark.parametrize("other", [refusal(500), refusal(429)])
def test_a_second_that_fails_leaves_the_first_its_time(other: Any) -> None:
    with before(after(0.5, completion("first")), other, **HEDGE) as (gateway, _):
        assert said(gateway.post()) == "first"


def test_when_both_fail_others_are_asked() -> None:
    with before(after(0.3, refusal(500)), after(0.4, refusal(500)), completion("third"), **HEDGE) as (gateway, _):
        answer = gateway.post()
    assert (said(answer), answer.headers["x-agentrun-attempts"]) == ("third", "3")


def test_without_it_a_slow_endpoint_is_waited_for() -> None:
    with before(after(0.3, completion("first")), completion("second")) as (gateway, [_, second]):
        assert said(gateway.post()) == "first"
    assert not second.requests


def test_hedges_are_paid_from_the_budget_of_retries() -> None:
    poor: Any = {"gateway": {"retry": {"hedge_after_seconds": 0.05, "budget_ratio": 0, "budget_minimum": 2}}}
    slow = after(0.2, completion())
    with before(slow, slow, **poor) as (gateway, servers):
        for _ in range(5):
            gateway.post()
    assert sum(len(server.requests) for server in servers) == 5 + 2


def test_a_caller_that_leaves_ends_both() -> None:
    with upstream(silent) as first, upstream(silent) as second:
        both = one(first.url, second.url, **HEDGE)
        with serving_gateway(both) as gateway, gateway.connect() as connection:
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
            wait_until(lambda: first.requests and second.requests)
            connection.close()
            wait_until(lambda: first.left_at and second.left_at)


@pytest.mark.asyncio
async def test_an_answer_that_came_at_the_same_time_is_discarded() -> None:
    together, discarded = asyncio.Event(), list[str]()

    async def answer(text: str) -> str:
        await together.wait()
        return text

    def second() -> Coroutine[Any, Any, str]:
        asyncio.get_running_loop().call_later(0.01, together.set)
        return answer("second")

    async def discard(text: str) -> None:
        discarded.append(text)

    won = await hedged(answer("first"), 0.01, second, discard)
    assert sorted([won, *discarded]) == ["first", "second"]


def test_time_is_not_lost_by_hedging() -> None:
    with upstream(silent) as slow, serving(completion()) as quick:
        both = one(slow.url, quick.url, **HEDGE)
        with serving_gateway(both) as gateway:
            began = time.monotonic()
            gateway.post()
            assert 0.09 < time.monotonic() - began < 3
