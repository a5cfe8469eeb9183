"""Whatever an endpoint does before its answer begins, the caller gets one, or is told what happened."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import openai
import pytest

from tests.gateway.answers import EVENTS, WORDS, completion, refusal, streamed
from tests.gateway.serving import LOOPS, MESSAGES, Running, before, one, proxy, serving_gateway
from tests.unit.servers import MISBEHAVIOURS, Behaviour, Server, after, answer, closed_port, page, raw, serving

HASTY: Any = {
    "gateway": {"timeouts": {"connect_seconds": 0.2, "first_token_seconds": 0.6, "between_tokens_seconds": 0.6}}
}
# What an endpoint may do without another being asked: it is slow, or what it says makes no sense to the caller.
ANSWERS = {
    "trickles its body",
    "answers with a list",
    "answers with broken JSON",
    "answers with other bytes",
    "succeeds without data",
    "succeeds with a list as data",
    "fails with status 200",
}
FAILURES: dict[str, Behaviour] = {
    **{name: behaviour for name, behaviour in MISBEHAVIOURS.items() if name not in ANSWERS},
    "is busy": refusal(429),
    "fails": refusal(500),
    "has no backend": page(504),
    "does not know our key": refusal(401),
    "does not let us in": refusal(403),
    "is overloaded": refusal(529),
    "sends interim answers for ever": raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000, keep=True),
    "switches protocols": raw(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", keep=True
    ),
    "cuts an answer without a length": raw(b'HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{"choices": [{'),
    "sends comments only": raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + b": still here\n\n" * 20, keep=True
    ),
    "ends a stream without an event": streamed([b": hello\n\n"]),
}


def name_of(server: Server) -> str:
    """What an endpoint is called that is only a URL."""
    return server.url.removeprefix("http://")


def ask(gateway: Running, *, stream: bool = False) -> str:
    """What the model says to the foreign client."""
    with gateway.client() as client:
        if not stream:
            return client.chat.completions.create(model="chat", messages=MESSAGES).choices[0].message.content or ""
        chunks = client.chat.completions.create(model="chat", messages=MESSAGES, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", sorted(FAILURES))
def test_another_endpoint_answers_instead(name: str, stream: bool) -> None:
    good = streamed() if stream else completion("".join(WORDS))
    loop = "asyncio" if stream else "uvloop"
    with before(FAILURES[name], good, **HASTY, loop=loop) as (gateway, [bad, _]):
        assert ask(gateway, stream=stream) == "".join(WORDS)
    assert len(bad.requests) == 1


@contextmanager
def full_backlog() -> Generator[str, None, None]:
    """A server that never accepts, and whose queue is full: connecting to it takes for ever."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting: list[socket.socket] = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for each in waiting:
            each.close()


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_who_cannot_be_connected_to_is_passed_over(loop: str) -> None:
    with full_backlog() as full, serving(completion()) as server:
        with serving_gateway(one(full, server.url, **HASTY), loop=loop) as gateway:
            answer = gateway.post()
            assert (answer.status_code, answer.headers["x-agentrun-attempts"]) == (200, "2")
        alone = one(full, num_retries=0, **HASTY)
        with serving_gateway(alone, loop=loop) as gateway:
            error = gateway.post()
    assert (error.status_code, error.json()["error"]["code"]) == (504, "upstream_timeout")
    assert "cannot be reached within 0.2 s" in error.json()["error"]["message"]


def test_who_refuses_connections_is_passed_over_without_a_pause() -> None:
    dead = [f"http://127.0.0.1:{closed_port()}" for _ in range(5)]
    with serving(completion()) as server, serving_gateway(one(*dead, server.url)) as gateway:
        answer = gateway.post()
        assert (answer.status_code, answer.headers["x-agentrun-attempts"]) == (200, "6")
        assert answer.headers["x-agentrun-endpoint"] == name_of(server)


def soon(seconds: float) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


ASKS_FOR_TIME: dict[str, Callable[[], dict[str, str]]] = {
    "seconds": lambda: {"retry-after": "1"},
    "milliseconds": lambda: {"retry-after": "9", "retry-after-ms": "800"},
    "a date": lambda: {"retry-after": soon(2)},
}


@pytest.mark.parametrize("how", sorted(ASKS_FOR_TIME))
def test_who_asks_for_time_is_left_alone(how: str) -> None:
    busy = refusal(429, headers=ASKS_FOR_TIME[how]())
    with before([busy, completion("again")], completion("other")) as (gateway, [first, _]):
        ask(gateway)
        began = time.monotonic()
        assert first.requests
        while (text := ask(gateway)) == "other":
            assert time.monotonic() - began < 5
    assert text == "again"
    assert time.monotonic() - began >= 0.5


def test_a_call_with_nowhere_else_to_go_waits() -> None:
    busy = refusal(429, headers={"retry-after-ms": "300"})
    with serving(busy, completion()) as server, serving_gateway(one(server.url)) as gateway:
        began = time.monotonic()
        answer = gateway.post()
        took = time.monotonic() - began
    assert (answer.status_code, answer.headers["x-agentrun-attempts"]) == (200, "2")
    assert took >= 0.3


def test_calls_that_come_meanwhile_wait_too() -> None:
    busy = refusal(429, headers={"retry-after-ms": "500"})
    with serving(busy, completion()) as server, serving_gateway(one(server.url, num_retries=0)) as gateway:
        assert gateway.post().status_code == 429
        began = time.monotonic()
        assert gateway.post().status_code == 200
        assert time.monotonic() - began >= 0.3
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "policies", [{"request_timeout": 1}, {"gateway": {"retry": {"longest_retry_after_seconds": 1}}}]
)
def test_a_call_does_not_wait_longer_than_it_may(policies: dict[str, Any]) -> None:
    busy = refusal(429, "come back later", {"retry-after": "20"})
    with serving(busy) as server, serving_gateway(one(server.url, **policies)) as gateway, gateway.client() as client:
        began = time.monotonic()
        with pytest.raises(openai.RateLimitError, match="come back later") as caught:
            client.chat.completions.create(model="chat", messages=MESSAGES)
        assert time.monotonic() - began < 1
    assert caught.value.response.headers["retry-after"] == "20"


@pytest.mark.parametrize("value", ["soon", "nan", "inf", "-1", "1e999", "Wed, 99 Foo 2024"])
def test_a_wrong_retry_after_is_none(value: str) -> None:
    busy = refusal(429, headers={"retry-after": value})
    with serving(busy, completion()) as server, serving_gateway(one(server.url)) as gateway:
        began = time.monotonic()
        assert gateway.post().status_code == 200
        assert time.monotonic() - began < 1


def test_an_error_about_the_call_itself_is_passed_on_as_it_is() -> None:
    wrong = refusal(400, "messages is empty")
    with before(wrong, completion()) as (gateway, [_, second]):
        answer = gateway.post()
    assert (answer.status_code, len(second.requests)) == (400, 0)
    assert answer.json() == {"error": {"message": "messages is empty", "type": "x", "param": None, "code": "refused"}}


@pytest.mark.parametrize("behaviour", [page(503), answer(b"busy", 503), answer(b"[1]", 503), answer(b"[" * 5000, 503)])
def test_an_error_that_is_no_json_is_told_as_one(behaviour: Behaviour) -> None:
    with serving(behaviour) as server, serving_gateway(one(server.url, num_retries=0)) as gateway:
        answer = gateway.post()
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "it answered with status 503"


def test_the_gateways_own_key_is_not_the_callers_matter() -> None:
    with before(refusal(401, "Incorrect API key provided: sk-secret")) as (gateway, _):
        answer = gateway.post()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "endpoint_unauthorized")
    assert "sk-secret" not in answer.text
    assert answer.headers["x-should-retry"] == "false"


def test_an_endpoint_with_a_wrong_key_is_left_out() -> None:
    with before(refusal(401), completion()) as (gateway, [bad, _]):
        for _ in range(20):
            assert gateway.post().status_code == 200
    assert len(bad.requests) == 5


@pytest.mark.parametrize(("retries", "attempts"), [(None, 3), (0, 1), (1, 2), (4, 5)])
def test_calls_are_sent_again_so_often(retries: int | None, attempts: int) -> None:
    with serving(refusal(500, "no luck")) as server:
        with serving_gateway(one(server.url, num_retries=retries)) as gateway:
            answer = gateway.post()
        assert answer.headers["x-agentrun-endpoint"] == name_of(server)
    assert (answer.status_code, answer.headers["x-agentrun-attempts"]) == (500, str(attempts))
    assert len(server.requests) == attempts


def test_retries_have_a_budget() -> None:
    policy = {"gateway": {"retry": {"budget_ratio": 0.0, "budget_minimum": 3}}}
    with serving(refusal(500)) as server, serving_gateway(one(server.url, **policy)) as gateway:
        for _ in range(10):
            assert gateway.post().status_code == 500
    assert len(server.requests) == 10 + 3


def test_fallbacks_are_asked_in_their_order() -> None:
    with serving(refusal(500)) as first, serving(refusal(503)) as second, serving(completion("third")) as third:
        services = {
            "main": {"base_url": first.url, "model_names": ["m"]},
            "spare": {"base_url": second.url, "model_names": ["spare-m"]},
            "last": {"base_url": third.url, "model_names": ["last-m"]},
        }
        fallbacks = [{"model_service_name": "spare"}, {"model_service_name": "last", "model_name": "last-x"}]
        proxies = {"chat": proxy({"model_service_name": "main"}, fallbacks=fallbacks)}
        with serving_gateway(proxies, services=services) as gateway:
            answer = gateway.post()
    assert (answer.json()["choices"][0]["message"]["content"], answer.headers["x-agentrun-endpoint"]) == (
        "third",
        "last",
    )
    assert b'"model":"spare-m"' in second.requests[0].body
    assert b'"model":"last-x"' in third.requests[0].body


def test_a_call_takes_no_longer_than_its_own_time() -> None:
    with before(after(60, completion()), after(60, completion()), request_timeout=1) as (gateway, [first, second]):
        began = time.monotonic()
        answer = gateway.post()
        took = time.monotonic() - began
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert 0.9 < took < 3
    assert len(first.requests) + len(second.requests) == 1


def test_a_short_time_that_is_over_is_no_fault_of_the_next_endpoint() -> None:
    policy: Any = {"request_timeout": 1, "gateway": {"outlier_ejection": {"consecutive_failures": 1}}}
    slow_then_busy = after(0.7, refusal(500))
    with before(slow_then_busy, after(60, completion()), **policy) as (gateway, [first, second]):
        assert gateway.post().status_code == 504
        healthy = {endpoint["name"]: endpoint["healthy"] for endpoint in gateway.stats()["endpoints"]}
        assert healthy == {name_of(first): False, name_of(second): True}


def test_comments_do_not_count_as_the_first_token() -> None:
    quick: Any = {"gateway": {"timeouts": {"first_token_seconds": 0.4}}}
    alive = streamed([b": still here\n\n"] * 600, pause=0.1)
    with before(alive, streamed(), **quick) as (gateway, _):
        began = time.monotonic()
        assert ask(gateway, stream=True) == "".join(WORDS)
        assert time.monotonic() - began < 5


def test_a_slow_model_that_has_time_is_waited_for() -> None:
    with before(streamed([b": wait\n\n", b": wait\n\n", *EVENTS], pause=0.1)) as (gateway, _):
        assert ask(gateway, stream=True) == "".join(WORDS)


def test_an_answer_that_trickles_ends_with_the_time_of_the_call() -> None:
    with before(MISBEHAVIOURS["trickles its body"], request_timeout=1) as (gateway, _):
        began = time.monotonic()
        assert gateway.post().status_code == 504
        assert time.monotonic() - began < 5
