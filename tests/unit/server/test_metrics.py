"""What Prometheus reads of a server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from openai import APIStatusError
from prometheus_client.parser import text_string_to_metric_families as families
from prometheus_client.samples import Sample

from agentrun.server import AgentEvent, AgentRequest, EventType
from tests.gateway.serving import wait_until
from tests.unit.server.serving import Served, serving

SLOW = 0.3
_interrupted = threading.Event()


async def agent(request: AgentRequest) -> AsyncGenerator[Any, None]:
    text = request.messages[-1].text
    if text == "fail":
        raise ValueError("no")
    if text == "interrupt":
        raise asyncio.CancelledError
    if text == "slow":
        await asyncio.sleep(SLOW)
    yield "a word"
    if text == "wait":
        try:
            await asyncio.sleep(60)
        finally:
            _interrupted.set()
    yield AgentEvent(event=EventType.USAGE, data={"input_tokens": 3, "output_tokens": 5})
    yield AgentEvent(event=EventType.USAGE, data={"input_tokens": 4, "output_tokens": 6})


@pytest.fixture(scope="module")
def server() -> Generator[Served]:
    with serving(agent) as served:
        yield served


def read(server: Served) -> list[Sample]:
    answer = server.http.get(f"{server.root}/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return [sample for family in families(answer.text) for sample in family.samples]


def value(server: Served, name: str, protocol: str = "openai", **labels: str) -> float:
    """A value, 0 where nothing was counted yet."""
    wanted = {"protocol": protocol, **labels}
    found = [each.value for each in read(server) if each.name == f"agentrun_server_{name}" and each.labels == wanted]
    assert len(found) <= 1, found
    return found[0] if found else 0


class Growth:
    """How much some values grow."""

    def __init__(self, server: Served, protocol: str = "openai") -> None:
        self._server = server
        self._protocol = protocol
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        ended = {
            outcome: value(self._server, "runs_ended_total", self._protocol, outcome=outcome)
            for outcome in ("completed", "failed", "cancelled")
        }
        return {"started": value(self._server, "runs_started_total", self._protocol), **ended}

    def __call__(self) -> dict[str, float]:
        return {name: grown for name, now in self._now().items() if (grown := now - self._before[name])}


def ask(server: Served, text: str, *, stream: bool = False) -> Any:
    asked: Any = [{"role": "user", "content": text}]
    return server.openai().chat.completions.create(model="agentrun", messages=asked, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_runs_and_their_tokens_are_counted(server: Served, stream: bool) -> None:
    growth = Growth(server)
    tokens = [value(server, "tokens_total", type=kind) for kind in ("input", "output")]
    answer = ask(server, "hi", stream=stream)
    if stream:
        list(answer)
    assert growth() == {"started": 1, "completed": 1}
    now = [value(server, "tokens_total", type=kind) for kind in ("input", "output")]
    assert [after - before for before, after in zip(tokens, now, strict=True)] == [7, 11]


@pytest.mark.parametrize(("text", "outcome"), [("fail", "failed"), ("interrupt", "cancelled")])
def test_how_a_run_ended_is_told(server: Served, text: str, outcome: str) -> None:
    growth = Growth(server)
    with pytest.raises(APIStatusError):
        ask(server, text)
    assert growth() == {"started": 1, outcome: 1}


def test_a_run_is_in_flight_until_its_client_has_gone(server: Served) -> None:
    growth = Growth(server)
    answer = ask(server, "wait", stream=True)
    next(answer)
    assert value(server, "runs_in_flight") == 1
    assert growth() == {"started": 1}
    answer.close()
    wait_until(lambda: value(server, "runs_in_flight") == 0)
    assert growth() == {"started": 1, "cancelled": 1}
    assert _interrupted.is_set()


def test_protocols_are_counted_apart(server: Served) -> None:
    others = Growth(server)
    growth = Growth(server, "agent_api")
    asked = {"input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
    assert server.post("/process", asked).status_code == 200
    assert growth() == {"started": 1, "completed": 1}
    assert others() == {}


def test_histograms_add_up(server: Served) -> None:
    before = value(server, "time_to_first_event_seconds_sum"), value(server, "run_duration_seconds_sum")
    ask(server, "slow")
    after = value(server, "time_to_first_event_seconds_sum"), value(server, "run_duration_seconds_sum")
    assert after[0] - before[0] >= SLOW - 0.01  # uvloop counts milliseconds, and may be one early.
    assert after[1] - before[1] >= after[0] - before[0]
    buckets = [each for each in read(server) if each.name == "agentrun_server_run_duration_seconds_bucket"]
    counts = [each.value for each in buckets if each.labels["protocol"] == "openai"]
    assert counts == sorted(counts)
    assert counts[-1] == value(server, "run_duration_seconds_count")
    slow = [n for n, each in zip(counts, buckets, strict=False) if float(each.labels["le"]) < SLOW]
    assert slow[-1] < counts[-1], "a run of a third of a second is in no bucket of less"
