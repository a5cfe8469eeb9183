"""A run is stopped over HTTP, wherever it is and in whatever protocol it was asked for."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from agentrun.errors import InvalidInputError
from agentrun.server import AgentApp, LocalInterruptBackend, RedisInterruptBackend
from tests.gateway.serving import plain_client
from tests.unit.gateway.redis_server import RedisServer
from tests.unit.server.runs.apps import Sent, asked, running, streaming, until
from tests.unit.server.serving import Served

NAMES = {"user_id": "u1", "session_id": "s1"}
AG_UI: dict[str, Any] = {
    "threadId": "s1",
    "runId": "r1",
    "state": {},
    "messages": [{"id": "1", "role": "user", "content": "hi"}],
    "tools": [],
    "context": [],
    "forwardedProps": {},
}


class Endless:
    """An agent that says a word and waits."""

    def __init__(self, **options: Any) -> None:
        self.cancelled = 0
        self.began = threading.Event()
        self.app = AgentApp(**options)
        self.app.query()(self.query)

    async def query(self, msgs: Any, request: Any = None, **_: Any) -> AsyncIterator[str]:
        self.began.set()
        try:
            yield "one"
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@pytest.fixture
def endless() -> Endless:
    return Endless()


def stop(served: Served, **names: Any) -> Any:
    return served.post("/process/stop", names or NAMES).json()


def chat(served: Served, **options: Any) -> Any:
    client: Any = served.openai().with_options(max_retries=0)
    messages: Any = [{"role": "user", "content": "hi"}]
    headers = {"x-agentrun-session-id": "s1"}
    return client.chat.completions.create(model="agent", messages=messages, extra_headers=headers, **options)


def ends_of(sent: Iterator[Sent]) -> list[str]:
    return [each.event["status"] for each in sent if each.event["object"] == "response"][-1:]


def test_a_stream_is_stopped(endless: Endless) -> None:
    with running(endless.app) as served:
        assert stop(served) == {"stopped": False}
        with streaming(served, "/process", asked(**NAMES)) as (_, sent):
            until(lambda: next(sent).event.get("text") == "one")
            began = time.monotonic()
            assert stop(served) == {"stopped": True}
            assert ends_of(sent) == ["canceled"]
            assert time.monotonic() - began < 1
        assert endless.cancelled == 1
        assert stop(served) == {"stopped": False}


def test_a_second_request_of_a_session_is_told_what_to_do(endless: Endless) -> None:
    with running(endless.app) as served, streaming(served, "/process", asked(**NAMES)) as (_, sent):
        next(sent)
        endless.began.wait()
        answer = served.post("/process", asked(**NAMES, stream=False))
        assert answer.status_code == 409
        error = answer.json()["error"]
        assert error["code"] == "SESSION_BUSY"
        assert "'s1'" in error["message"]
        with streaming(served, "/process", asked(**NAMES)) as (_, refused):
            assert [each.event["error"]["code"] for each in refused if each.event["error"]] == ["SESSION_BUSY"]
        with pytest.raises(openai.ConflictError, match="has a run already"):
            chat(served, user="u1")
        stop(served)


def test_an_answer_in_one_piece_is_stopped(endless: Endless) -> None:
    with running(endless.app) as served, ThreadPoolExecutor(1) as threads:
        asking = threads.submit(served.post, "/process", asked(**NAMES, stream=False))
        endless.began.wait()
        assert stop(served) == {"stopped": True}
        assert asking.result().json()["status"] == "canceled"


def test_chat_completions_are_stopped(endless: Endless) -> None:
    with running(endless.app) as served:
        stream = chat(served, stream=True)
        assert next(iter(stream)).choices[0].delta.content == "one"
        assert stop(served, session_id="s1") == {"stopped": True}
        with pytest.raises(openai.APIError, match="interrupted"):
            list(stream)


def test_ag_ui_is_stopped(endless: Endless) -> None:
    with running(endless.app) as served, streaming(served, "/ag-ui/agent", AG_UI) as (_, sent):
        until(lambda: next(sent).event["type"] == "TEXT_MESSAGE_CONTENT")
        assert stop(served, session_id="s1") == {"stopped": True}
        assert [each.event["type"] for each in sent][-1] == "RUN_ERROR"


def test_it_is_stopped_by_the_application(endless: Endless) -> None:
    """From the event loop of whoever holds the application, which is not that of its server."""
    with running(endless.app) as served, streaming(served, "/process", asked(**NAMES)) as (_, sent):
        until(lambda: next(sent).event.get("text") == "one")
        assert asyncio.run(endless.app.stop_chat("u1", "s1"))
        assert ends_of(sent) == ["canceled"]


@pytest.mark.parametrize("body", [{}, {"user_id": "u1"}, {"session_id": 3}, {"session_id": ""}, [], b"{"])
def test_a_stop_that_names_no_session_is_refused(endless: Endless, body: Any) -> None:
    with running(endless.app) as served:
        answer = served.post("/process/stop", body)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]


def test_a_hundred_anonymous_requests_run_at_once() -> None:
    arrived: list[int] = []

    app = AgentApp()

    @app.query()
    async def query(self: Any, msgs: Any, request: Any = None, **_: Any) -> str:
        arrived.append(1)
        while len(arrived) < 100:  # noqa: ASYNC110  # It waits for requests.
            await asyncio.sleep(0.01)
        return "all are here"

    async def ask(http: httpx.AsyncClient, url: str) -> str:
        answer = await http.post(url, json=asked(stream=False), timeout=60)
        return str(answer.json()["status"])

    async def ask_all(url: str) -> list[str]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(limits=limits, trust_env=False, verify=False) as http:
            return await asyncio.gather(*(ask(http, url) for _ in range(100)))

    with running(app) as served:
        assert asyncio.run(ask_all(f"{served.root}/process")) == ["completed"] * 100


_SERVER = """
import asyncio, sys
from agentrun.server import AgentApp
from tests.unit.server.runs.apps import running
from tests.unit.server.runs.test_stopping import Endless

with running(Endless(interrupt_redis_url=sys.argv[1]).app) as served:
    print(served.port, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_server(url: str) -> Generator[Served]:
    """A server in another process."""
    root = Path(__file__).parents[4]
    command = [sys.executable, "-c", _SERVER, url]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            with plain_client() as http:
                yield Served(int(process.stdout.readline()), http)
        finally:
            process.kill()


@pytest.mark.xdist_group("runs-redis")
def test_a_run_is_stopped_from_another_process(redis_server: RedisServer) -> None:
    endless = Endless(interrupt_backend=RedisInterruptBackend(redis_server.url))
    with another_server(redis_server.url) as other, running(endless.app) as served:
        with streaming(other, "/process", asked(**NAMES)) as (_, sent):
            until(lambda: next(sent).event.get("text") == "one")
            assert served.post("/process", asked(**NAMES, stream=False)).status_code == 409
            began = time.monotonic()
            assert stop(served) == {"stopped": True}
            assert ends_of(sent) == ["canceled"]
            assert time.monotonic() - began < 1
        with streaming(served, "/process", asked(**NAMES)) as (_, sent):
            until(lambda: next(sent).event.get("text") == "one")
            assert stop(other) == {"stopped": True}
            assert ends_of(sent) == ["canceled"]


def test_two_backends_are_one_too_many() -> None:
    with pytest.raises(InvalidInputError, match="interrupt_redis_url"):
        AgentApp(interrupt_backend=LocalInterruptBackend(), interrupt_redis_url="redis://localhost")


@pytest.mark.xdist_group("runs-redis")
def test_a_redis_that_is_away_is_told() -> None:
    endless = Endless(interrupt_redis_url="redis://:geheim@127.0.0.1:9")
    with running(endless.app) as served:
        for path, body in (("/process", asked(stream=False)), ("/process/stop", NAMES)):
            answer = served.post(path, body)
            assert answer.status_code == 503
            assert "Redis" in json.dumps(answer.json())
            assert "geheim" not in answer.text
