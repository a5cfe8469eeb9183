"""A client that lost its stream goes on where it was, and the agent is not asked again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from agentrun.server import AgentApp
from tests.unit.gateway.redis_server import RedisServer
from tests.unit.server.runs.apps import asked, running, stream_of, streaming, texts, until
from tests.unit.server.serving import Served

REDIS = pytest.param("redis", marks=pytest.mark.xdist_group("runs-redis"))


class Counting:
    """An agent that counts, as far as it may."""

    def __init__(self, **options: Any) -> None:
        self.runs = 0
        self.cancelled = 0
        self.said = 0
        self.may_go_on = threading.Event()
        self.app = AgentApp(**options)
        self.app.query()(self.query)

    async def query(self, msgs: Any, request: Any = None, **_: Any) -> AsyncIterator[str]:
        self.runs += 1
        try:
            for number in range(10):
                if number == 5:
                    while not self.may_go_on.is_set():  # noqa: ASYNC110  # the test runs in another thread
                        await asyncio.sleep(0.005)
                self.said += 1
                yield f"{number} "
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


WHOLE = "0 1 2 3 4 5 6 7 8 9 "


@contextmanager
def read_until(served: Served, text: str, body: Any, path: str = "/process") -> Generator[int, None, None]:
    """A client that has read as far as a text; the number of the last event that it has."""
    with streaming(served, path, body) as (_, sent):
        number = -1
        for each in sent:
            number += 1
            assert each.number == each.event["sequence_number"] == number
            if each.event.get("text") == text:
                break
        yield number


@pytest.fixture(params=["local", REDIS])
def counting(request: pytest.FixtureRequest) -> Counting:
    if request.param == "local":
        return Counting(resume_seconds=30)
    server: RedisServer = request.getfixturevalue("redis_server")
    return Counting(resume_seconds=30, interrupt_redis_url=server.url)


def test_a_client_goes_on_where_it_was(counting: Counting) -> None:
    with running(counting.app) as served:
        with read_until(served, "2 ", asked(id="r1")) as last:
            pass
        counting.may_go_on.set()
        rest = stream_of(served, "/process", asked(id="r1"), **{"Last-Event-ID": str(last)})
        assert texts(rest) == "3 4 5 6 7 8 9 "
        assert [each.number for each in rest] == [*range(last + 1, last + 1 + len(rest))]
        assert rest[-1].event["status"] == "completed"
        again = stream_of(served, "/process", asked(id="r1"), **{"Last-Event-ID": "1"})
        assert texts(again) == WHOLE
        assert counting.runs == 1
        assert counting.cancelled == 0


def test_a_client_goes_on_while_another_reads(counting: Counting) -> None:
    with running(counting.app) as served, read_until(served, "4 ", asked(id="r1")) as last:
        with streaming(served, "/process", asked(id="r1"), **{"Last-Event-ID": str(last - 1)}) as (_, sent):
            assert next(sent).event["text"] == "4 "
            counting.may_go_on.set()
            assert texts(list(sent)) == "5 6 7 8 9 "
        assert counting.runs == 1


def test_an_agent_whose_client_stays_away_is_cancelled() -> None:
    counting = Counting(resume_seconds=0.3)
    with running(counting.app) as served:
        with read_until(served, "2 ", asked(id="r1")):
            pass
        assert counting.cancelled == 0
        until(lambda: counting.cancelled)


def test_an_agent_whose_client_goes_away_is_cancelled_at_once_without_it() -> None:
    counting = Counting()
    with running(counting.app) as served:
        with streaming(served, "/process", asked()) as (_, sent):
            first = next(sent)
            assert first.number is None
        until(lambda: counting.cancelled)


def test_a_run_of_an_id_is_there_once(counting: Counting) -> None:
    with running(counting.app) as served, read_until(served, "0 ", asked(id="r1")):
        answer = served.post("/process", asked(id="r1"))
        assert answer.status_code == 409
        assert "Last-Event-ID" in answer.json()["error"]["message"]
        counting.may_go_on.set()
        assert counting.runs == 1


def test_an_id_may_be_used_again_when_its_run_is_over(counting: Counting) -> None:
    counting.may_go_on.set()
    with running(counting.app) as served:
        for _ in range(3):
            assert texts(stream_of(served, "/process", asked(id="r1"))) == WHOLE
        assert counting.runs == 3


@pytest.mark.parametrize(
    ("body", "last", "status", "words"),
    [
        (asked(id="unknown"), "3", 404, "'unknown'"),
        (asked(id="unknown"), "three", 400, "'three'"),
        (asked(id="unknown"), "-1", 400, "'-1'"),
        (asked(), "3", 404, "without Last-Event-ID"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(body: Any, last: str, status: int, words: str) -> None:
    counting = Counting(resume_seconds=30)
    with running(counting.app) as served:
        url = f"{served.root}/process"
        answer = served.http.post(url, json=body, headers={"Last-Event-ID": last})
        assert answer.status_code == status
        assert words in answer.json()["error"]["message"]
        assert counting.runs == 0


def test_a_server_that_keeps_no_streams_does_not_run_the_agent_again() -> None:
    counting = Counting()
    with running(counting.app) as served:
        answer = served.http.post(f"{served.root}/process", json=asked(id="r1"), headers={"Last-Event-ID": "3"})
        assert answer.status_code == 404
        assert "resume_seconds" in answer.json()["error"]["message"]
        assert counting.runs == 0


@pytest.mark.xdist_group("runs-redis")
def test_another_server_goes_on_with_a_stream(redis_server: RedisServer) -> None:
    options: dict[str, Any] = {"resume_seconds": 30, "interrupt_redis_url": redis_server.url}
    one, other = Counting(**options), Counting(**options)
    with running(one.app) as first, running(other.app) as second:
        with read_until(first, "2 ", asked(id="across")) as last:
            pass
        with streaming(second, "/process", asked(id="across"), **{"Last-Event-ID": str(last)}) as (_, sent):
            assert next(sent).event["text"] == "3 "
            one.may_go_on.set()
            assert texts(list(sent)) == "4 5 6 7 8 9 "
        assert (one.runs, other.runs) == (1, 0)


def test_a_stopped_run_ends_as_such_for_who_goes_on_with_it(counting: Counting) -> None:
    with running(counting.app) as served:
        with read_until(served, "4 ", asked(id="r1", session_id="s1", user_id="u1")) as last:
            pass
        assert served.post("/process/stop", {"user_id": "u1", "session_id": "s1"}).json() == {"stopped": True}
        rest = stream_of(served, "/process", asked(id="r1"), **{"Last-Event-ID": str(last)})
        assert rest[-1].event["status"] == "canceled"
        assert counting.cancelled == 1
