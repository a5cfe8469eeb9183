"""Endpoints that keep failing are left out, probed by one call at a time, and back as soon as they answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from agentrun.gateway.routing.health import Health
from agentrun.model.policies import OutlierEjection
from tests.gateway.answers import completion, refusal
from tests.gateway.serving import PATIENCE, before, one, serving_gateway, wait_until
from tests.gateway.upstream import Reader, Upstream, Writer, always, read_request, upstream
from tests.unit.servers import after, closed_port, serving

POLICY = OutlierEjection(consecutive_failures=3, ejection_seconds=1.0)
OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{"choices": []}'
QUICK: Any = {"gateway": {"outlier_ejection": {"consecutive_failures": 2, "ejection_seconds": 0.2}}}


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def health(clock: Time) -> Health:
    return Health(clock)


def fail(health: Health, times: int, key: str = "a", *, probe: bool = False) -> None:
    for _ in range(times):
        health.failed(key, POLICY, probe=probe)


def test_some_failures_in_a_row_leave_a_target_out(health: Health) -> None:
    fail(health, 2)
    health.succeeded("a")
    fail(health, 2)
    assert health.usable("a")
    fail(health, 1)
    assert not health.usable("a")


def test_one_probe_at_a_time(health: Health, clock: Time) -> None:
    fail(health, 3)
    clock.now = 1.0
    assert health.usable("a")
    assert health.begin("a")
    assert not health.usable("a")
    assert not health.begin("a")


def test_calls_of_before_neither_delay_the_probe_nor_allow_another(health: Health, clock: Time) -> None:
    fail(health, 3)
    clock.now = 0.9
    fail(health, 5)
    clock.now = 1.0
    assert health.usable("a")
    assert health.begin("a")
    fail(health, 1)
    health.end("a", probe=False)
    clock.now = 5.0
    assert not health.usable("a")


def test_a_failed_probe_leaves_it_out_for_another_while(health: Health, clock: Time) -> None:
    fail(health, 3)
    clock.now = 1.5
    fail(health, 1, probe=health.begin("a"))
    clock.now = 2.4
    assert not health.usable("a")
    clock.now = 2.5
    assert health.usable("a")


def test_a_probe_whose_caller_left_makes_way_for_another(health: Health, clock: Time) -> None:
    fail(health, 3)
    clock.now = 1.0
    health.end("a", probe=health.begin("a"))
    assert health.usable("a")


def test_an_answer_that_begins_brings_it_back_and_only_a_whole_one_clears_it(health: Health, clock: Time) -> None:
    fail(health, 3)
    clock.now = 1.0
    health.begin("a")
    health.answers("a")
    assert health.is_in("a")
    fail(health, 1)
    assert not health.is_in("a")
    health.succeeded("a")
    fail(health, 2)
    assert health.is_in("a")


def test_changes_are_told(clock: Time) -> None:
    told: list[tuple[str, float]] = []
    health = Health(clock, lambda key, seconds: told.append((key, seconds)))
    fail(health, 4)
    health.rest("b", 7.0)
    health.succeeded("a")
    health.succeeded("c")
    assert told == [("a", 1.0), ("b", 7.0), ("a", 0.0)]


def test_when_all_are_out_calls_go_to_those_that_nobody_probes(health: Health, clock: Time) -> None:
    fail(health, 3, "a")
    clock.now = 0.5
    fail(health, 3, "b")
    assert health.first_back(["a", "b"]) == "a"
    clock.now = 1.0
    health.begin("a")
    assert health.first_back(["a", "b"]) == "b"


def test_a_dead_endpoint_is_left_out() -> None:
    dead = f"http://127.0.0.1:{closed_port()}"
    policy = {"gateway": {"outlier_ejection": {"consecutive_failures": 3, "ejection_seconds": 3600}}}
    with serving(completion()) as good, serving_gateway(one(dead, good.url, **policy)) as gateway:
        attempts = [int(gateway.post().headers["x-agentrun-attempts"]) for _ in range(20)]
        shown = [endpoint["healthy"] for endpoint in gateway.stats()["endpoints"]]
    assert (attempts.count(2), attempts[-10:]) == (3, [1] * 10)
    assert shown == [False, True]


def test_an_endpoint_that_comes_back_serves_within_two_seconds() -> None:
    with upstream(always(OK)) as first, serving(completion()) as second:
        both = one(first.url, second.url)
        with serving_gateway(both) as gateway:
            first.kill()
            for _ in range(12):
                assert gateway.post().status_code == 200
            assert not gateway.stats()["endpoints"][0]["healthy"]
            first.start()
            back = time.monotonic()
            seen = first.requests
            while first.requests == seen:
                assert gateway.post().status_code == 200
                assert time.monotonic() - back < PATIENCE
                time.sleep(0.01)
            took = time.monotonic() - back
            wait_until(lambda: gateway.stats()["endpoints"][0]["healthy"])
    assert took < 2


def test_a_dead_endpoint_gets_no_more_than_its_probes() -> None:
    with before(refusal(503), completion(), **QUICK) as (gateway, [bad, _]):
        began = time.monotonic()
        with ThreadPoolExecutor(8) as callers:
            answers = [call.result().status_code for call in [callers.submit(gateway.post) for _ in range(400)]]
        took = time.monotonic() - began
    assert set(answers) == {200}
    # Those that were under way together at its first failures, and then one in each while.
    assert len(bad.requests) <= 2 + 8 + took / 0.2 + 1


def test_a_slow_probe_is_the_only_one() -> None:
    slow = [refusal(500), refusal(500), after(1.0, completion())]
    with before(slow, completion(), **QUICK) as (gateway, [first, second]), ThreadPoolExecutor(2) as callers:
        while len(first.requests) < 2:
            gateway.post()
        probe = callers.submit(gateway.post)
        while len(first.requests) < 3:
            wait([probe], 0.05)
            probe = callers.submit(gateway.post) if probe.done() else probe
        while not probe.done():
            assert gateway.post().headers["x-agentrun-endpoint"] == second.url.removeprefix("http://")
        assert probe.result().headers["x-agentrun-endpoint"] == first.url.removeprefix("http://")


def test_when_all_are_out_calls_are_tried_all_the_same() -> None:
    with before(refusal(500), refusal(500), **QUICK, num_retries=1) as (gateway, [first, second]):
        for _ in range(6):
            assert gateway.post().status_code == 500
        first.then(completion())
        second.then(completion())
        assert gateway.post().status_code == 200


def test_an_endpoint_that_always_breaks_off_is_left_out() -> None:
    broken = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\ndata: {}\n\n"

    async def breaks_off(server: Upstream, reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        server.requests += 1
        writer.write(broken)

    with upstream(breaks_off) as bad, serving_gateway(one(bad.url)) as gateway:
        for _ in range(5):
            assert "upstream_broke_off" in gateway.post().text
        assert not gateway.stats()["endpoints"][0]["healthy"]
    assert bad.requests == 5
