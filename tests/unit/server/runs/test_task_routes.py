"""Tasks over HTTP, in the process of the server and in workers of Celery."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentrun.errors import InvalidInputError
from agentrun.server import AgentApp
from tests.unit.gateway.redis_server import RedisServer
from tests.unit.server.runs.apps import asked, running, stream_of, streaming, texts, until
from tests.unit.server.runs.background import build
from tests.unit.server.serving import Served

# Celery still speaks the old words of the redis package.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
CELERY = pytest.mark.xdist_group("runs-redis")
PLACES = ["here", pytest.param("embedded", marks=CELERY), pytest.param("worker", marks=CELERY)]


def celery_url(server: RedisServer) -> str:
    pytest.importorskip("celery")  # It asks for a newer redis than the rest does.
    return server.url.replace("unix://", "redis+socket://")


@contextmanager
def worker(url: str) -> Generator[int]:
    """A worker of Celery in a process of its own; its id."""
    command = [sys.executable, "-m", "celery", "-A", "tests.unit.server.runs.background:celery", "worker"]
    options = ["--pool", "prefork", "--concurrency", "2", "--loglevel", "INFO", "--without-mingle", "--without-gossip"]
    environment = {**os.environ, "RUNS_REDIS": url, "PYTHONUNBUFFERED": "1"}
    root = Path(__file__).parents[4]
    with subprocess.Popen(
        [*command, *options], cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "ready." in line:
                    break
            yield process.pid
        finally:
            process.terminate()
            process.communicate()


@pytest.fixture(scope="module")
def celery_worker(redis_server: RedisServer) -> Iterator[int]:
    with worker(celery_url(redis_server)) as pid:
        yield pid


@pytest.fixture(scope="module", params=PLACES)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    options: dict[str, Any] = {}
    if request.param != "here":
        url = celery_url(request.getfixturevalue("redis_server"))
        options = {"broker_url": url, "backend_url": url, "enable_embedded_worker": request.param == "embedded"}
    if request.param == "worker":
        request.getfixturevalue("celery_worker")
    with running(build(**options)) as found:
        yield found


def begin(served: Served, path: str, body: Any) -> str:
    answer = served.post(path, body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["task_id"])


def state(served: Served, path: str, task_id: str) -> dict[str, Any]:
    answer = served.http.get(f"{served.root}{path}/{task_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["status"] in ("pending", "running", "finished", "error")
    return found


def result(served: Served, path: str, task_id: str) -> dict[str, Any]:
    """The state of a task that is over."""

    def over() -> dict[str, Any] | None:
        found = state(served, path, task_id)
        return found if found["status"] in ("finished", "error") else None

    found: dict[str, Any] = until(over)
    return found


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [("/area", {"width": 3}, 6), ("/sum", {"first": 3}, 4), ("/sum", {"first": 3, "second": 4}, 7)],
)
def test_a_task_is_given_what_was_sent(served: Served, path: str, body: Any, answer: Any) -> None:
    found = result(served, path, begin(served, path, body))
    assert (found["status"], found["result"]) == ("finished", answer)


def test_a_task_is_submitted_as_before(served: Served) -> None:
    answer = served.post("/square", {"number": 7}).json()
    assert answer["status"] == "submitted"
    assert answer["queue"] == "numbers"
    assert "submitted" in answer["message"]
    assert result(served, "/square", answer["task_id"])["result"]["square"] == 49


def test_a_task_that_fails_says_why(served: Served) -> None:
    found = result(served, "/fail", begin(served, "/fail", {}))
    assert (found["status"], found["result"]) == ("error", "ValueError: no")


def test_a_task_is_cancelled(served: Served) -> None:
    task_id = begin(served, "/wait", {})
    until(lambda: state(served, "/wait", task_id)["status"] == "running")
    assert state(served, "/wait", task_id)["started_at"] > 1e9
    answer = served.post(f"/wait/{task_id}/cancel", {}).json()
    assert answer == {"task_id": task_id, "canceled": True}
    assert result(served, "/wait", task_id)["result"] == "CancelledError"
    assert served.post(f"/wait/{task_id}/cancel", {}).json()["canceled"] is False


@pytest.mark.parametrize("path", ["/square", "/process/task"])
def test_a_task_that_is_not_known_is_not_found(served: Served, path: str) -> None:
    for answer in (served.http.get(f"{served.root}{path}/nope"), served.post(f"{path}/nope/cancel", {})):
        assert answer.status_code == 404
        assert "'nope'" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [("/area", {}, "width"), ("/sum", {"third": 3}, "first"), ("/sum", [], "list"), ("/square", b"{", "JSON")],
)
def test_what_a_task_cannot_take_is_refused(served: Served, path: str, body: Any, words: str) -> None:
    answer = served.post(path, body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_a_run_in_the_background_is_read_by_many(served: Served) -> None:
    answer = served.post("/process/task", asked("Ada")).json()
    assert answer["queue"] == "stream_query"
    path = f"/process/task/{answer['task_id']}"
    whole = stream_of(served, f"{path}/stream")
    assert texts(whole) == "Good day from Ada"
    assert [each.number for each in whole] == [each.event["sequence_number"] for each in whole] == [*range(len(whole))]
    assert stream_of(served, f"{path}/stream") == whole
    assert stream_of(served, f"{path}/stream?last_event_id=2") == whole[3:]
    assert stream_of(served, f"{path}/stream", **{"Last-Event-ID": "4"}) == whole[5:]
    found = result(served, "/process/task", answer["task_id"])
    assert (found["status"], found["result"]) == ("finished", whole[-1].event)
    assert found["result"]["output"][0]["content"][0]["text"] == "Good day from Ada"


def test_a_run_in_the_background_that_fails_is_no_success(served: Served) -> None:
    found = result(served, "/process/task", begin(served, "/process/task", asked("fail")))
    assert found["status"] == "error"
    assert "no" in found["result"]["error"]["message"]


def test_a_run_in_the_background_is_cancelled(served: Served) -> None:
    task_id = begin(served, "/process/task", asked("wait"))
    with streaming(served, f"/process/task/{task_id}/stream") as (_, sent):
        until(lambda: next(sent).event.get("text"))
        assert state(served, "/process/task", task_id)["status"] == "running"
        assert served.post(f"/process/task/{task_id}/cancel", {}).json()["canceled"]
        assert [each.event["status"] for each in sent][-1] == "canceled"
    assert result(served, "/process/task", task_id)["status"] == "error"
    assert served.post(f"/process/task/{task_id}/cancel", {}).json()["canceled"] is False


def test_a_run_in_the_background_has_its_session_for_itself(served: Served) -> None:
    task_id = begin(served, "/process/task", asked("wait", session_id="s9"))
    with streaming(served, f"/process/task/{task_id}/stream") as (_, sent):
        until(lambda: next(sent).event.get("text"))
    assert served.post("/process", asked(session_id="s9", stream=False)).status_code == 409
    assert served.post("/process/stop", {"session_id": "s9"}).json() == {"stopped": True}
    assert result(served, "/process/task", task_id)["result"]["status"] == "canceled"


def test_a_run_in_the_background_ends_when_it_takes_too_long(served: Served) -> None:
    found = result(served, "/process/task", begin(served, "/process/task", asked("wait", timeout=0.2)))
    assert found["status"] == "error"
    assert found["result"]["error"]["code"] == "TASK_TIMEOUT"


@pytest.mark.parametrize("body", [{}, asked(timeout="soon"), asked(timeout=0), b"{"])
def test_a_run_that_cannot_be_is_refused(served: Served, body: Any) -> None:
    answer = served.post("/process/task", body)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("last", ["two", "-1"])
def test_a_place_that_is_none_is_refused(served: Served, last: str) -> None:
    task_id = begin(served, "/process/task", asked("Ada"))
    answer = served.http.get(f"{served.root}/process/task/{task_id}/stream", headers={"Last-Event-ID": last})
    assert answer.status_code == 400


@CELERY
def test_workers_are_other_processes(celery_worker: int, redis_server: RedisServer) -> None:
    url = celery_url(redis_server)
    with running(build(broker_url=url, backend_url=url)) as served:
        process = result(served, "/square", begin(served, "/square", {"number": 1}))["result"]["process"]
        assert process not in (os.getpid(), celery_worker)
        task_id = begin(served, "/process/task", asked("pid"))
        said = texts(stream_of(served, f"/process/task/{task_id}/stream"))
        assert int(said.rpartition(" ")[2]) not in (os.getpid(), celery_worker)


@CELERY
def test_a_broker_that_is_away_is_told_without_its_password() -> None:
    pytest.importorskip("celery")
    url = "redis://:geheim@127.0.0.1:9/0"
    with running(build(broker_url=url, backend_url=url)) as served:
        answer = served.post("/square", {"number": 1})
        assert answer.status_code == 503
        assert "Celery" in answer.json()["error"]["message"]
        assert "geheim" not in answer.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"broker_url": "redis://localhost"}, "backend_url"),
        ({"backend_url": "redis://localhost"}, "broker_url"),
        ({"enable_embedded_worker": True}, "broker_url"),
        ({"broker_url": "amqp://localhost", "backend_url": "rpc://", "enable_stream_task": True}, "Redis"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], words: str) -> None:
    pytest.importorskip("celery")
    with pytest.raises(InvalidInputError, match=words):
        AgentApp(**options)


def test_an_application_says_where_they_are() -> None:
    with running(build(endpoint_path="/ask")) as served:
        endpoints = served.http.get(f"{served.root}/").json()["endpoints"]
        assert endpoints["stop"] == "/ask/stop"
        assert endpoints["task_status"] == "/ask/task/{task_id}"
        assert served.post(endpoints["stop"], {"session_id": "s1"}).json() == {"stopped": False}
        assert served.post(endpoints["task"], asked("Ada")).json()["status"] == "submitted"


def test_there_are_no_stream_tasks_unless_they_are_wanted() -> None:
    with running(AgentApp()) as served:
        assert served.post("/process/task", asked()).status_code == 404
