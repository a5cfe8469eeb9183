"""Traces as users get them: asked for by the environment, sent by OTLP, kept in a file, listed and drawn."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentrun.cli.app import run
from agentrun.server.tracing.record import OPERATION, RUN, SpanRecord
from agentrun.server.tracing.store import TraceStore
from tests.gateway.serving import plain_client, wait_until
from tests.otlp import collector

PATIENCE = 60.0
PROGRAM = Path(__file__).parent / "traced_program.py"
COMMAND = (sys.executable, "-c", "from agentrun.cli import main; main()", "traces")


@dataclass
class Program:
    """A server in a process of its own, and the collector to which its environment points."""

    url: str
    process: subprocess.Popen[str]
    http: httpx.Client
    store: TraceStore
    received: list[bytes]
    stdout: str = field(default="", init=False)

    def ask(self, text: str = "hi", session: str = "s-1") -> int:
        asked = {"messages": [{"role": "user", "content": text}]}
        headers = {"x-agentrun-session-id": session}
        return self.http.post(f"{self.url}/openai/v1/chat/completions", json=asked, headers=headers).status_code

    def sent(self) -> list[tuple[str, str]]:
        """The spans that came, each with the name of its service."""
        found: list[tuple[str, str]] = []
        for body in list(self.received):
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = next(a.value.string_value for a in group.resource.attributes if a.key == "service.name")
                found += [(service, span.name) for scope in group.scope_spans for span in scope.spans]
        return found

    def stop(self) -> None:
        self.process.terminate()
        self.stdout, _ = self.process.communicate(timeout=PATIENCE)

    def kept(self, runs: int) -> list[SpanRecord]:
        """The last runs, once there are so many."""
        wait_until(lambda: len(self.store.runs(1000)) >= runs)
        return self.store.runs(1000)


@contextmanager
def program(file: Path, *options: str, **environment: str) -> Generator[Program]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    with collector() as (endpoint, received), plain_client() as http:
        variables = {
            **os.environ,
            "AGENTRUN_TRACES": str(file),
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **environment,
        }
        command = [sys.executable, str(PROGRAM), str(port), *options]
        with subprocess.Popen(command, env=variables, text=True, stdout=subprocess.PIPE) as process:
            served = Program(f"http://127.0.0.1:{port}", process, http, TraceStore(file), received)
            try:
                _wait(served)
                yield served
            finally:
                if process.poll() is None:
                    served.stop()


def _wait(served: Program) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert served.process.poll() is None, "the server ended"
        try:
            served.http.get(f"{served.url}/health").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the server does not answer")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    """A server that was asked twice."""
    with program(tmp_path_factory.mktemp("traces") / "traces.db") as found:
        assert found.ask() == 200
        assert found.ask("fail", "s-2") == 500
        found.kept(2)
        yield found


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What a command prints."""
    with pytest.raises(SystemExit) as ended:
        run(["traces", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out.splitlines()


def test_spans_are_sent_by_otlp(served: Program) -> None:
    wait_until(lambda: ("guide", "invoke_agent guide") in served.sent())
    assert ("guide", "execute_tool look") in served.sent()
    assert b"cheese" not in b"".join(served.received)


def test_runs_are_kept(served: Program) -> None:
    failed, well = (each.run_to_json() for each in served.kept(2)[-2:])
    wanted = {"agent": "guide", "session_id": "s-1", "protocol": "openai", "input_tokens": 3, "output_tokens": 5}
    assert {**wanted, "outcome": "completed", "error": None}.items() <= well.items()
    assert abs(well["started"] - time.time()) < 600
    assert 0 < well["first_event_ms"] <= well["duration_ms"]
    assert (failed["outcome"], failed["error"], failed["message"]) == ("failed", "ValueError", "it cannot be done")


def test_the_list_of_runs(served: Program, capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = [line.split("\t") for line in lines(capsys, "--file", str(served.store.file))]
    assert head == ["id", "time", "agent", "duration", "tokens", "outcome"]
    assert [(row[2], row[4], row[5]) for row in rows] == [
        ("guide", "3/5", "completed"),
        ("guide", "-", "failed (ValueError)"),
    ]
    (last,) = lines(capsys, "--file", str(served.store.file), "-n", "1", "--json")
    assert json.loads(last)["error"] == "ValueError"
    (one,) = lines(capsys, "--file", str(served.store.file), "--session", "s-1", "--json")
    assert json.loads(one)["id"] == rows[0][0]


def test_the_tree_of_a_run(served: Program, capsys: pytest.CaptureFixture[str]) -> None:
    failed, well = served.kept(2)[-2:]
    first, second = lines(capsys, "show", well.span_id[:8], "--file", str(served.store.file))
    assert first.startswith("invoke_agent guide  ")
    assert "3/5 tokens" in first
    assert second.startswith("└── execute_tool look  ")
    (only,) = lines(capsys, "show", failed.trace_id, "--file", str(served.store.file))
    assert only.endswith("ValueError: it cannot be done")
    told = json.loads("\n".join(lines(capsys, "show", well.span_id, "--file", str(served.store.file), "--json")))
    assert [span["name"] for span in told] == ["invoke_agent guide", "execute_tool look"]


def test_an_unknown_id_is_said(served: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["traces", "show", "nothing", "--file", str(served.store.file)]) == 1
    assert "there is no trace with the id 'nothing': see `agentrun traces`" in capsys.readouterr().err


def test_without_traces_the_list_says_how_to_get_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (said,) = lines(capsys, "--file", str(tmp_path / "none.db"))
    assert "AGENTRUN_TRACES=1" in said


def test_runs_can_be_followed(tmp_path: Path) -> None:
    store = TraceStore(tmp_path / "traces.db")
    command = [*COMMAND, "--follow", "--json", "--file", str(store.file)]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for number in (1, 2):
            now = time.time_ns()
            store.add([SpanRecord(f"000{number}", "aaaa", None, "x", now, now, attributes={OPERATION: RUN})])
            assert json.loads(process.stdout.readline())["id"] == f"000{number}"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


# Routes


def traces(served: Program, path: str = "", **headers: str) -> httpx.Response:
    return served.http.get(f"{served.url}/_agentrun/traces{path}", headers=headers)


def test_a_page_reads_runs_and_their_spans(served: Program) -> None:
    runs = traces(served).json()["runs"]
    assert [each["outcome"] for each in runs[-2:]] == ["failed", "completed"]
    assert traces(served, "?session_id=s-2&limit=1").json()["runs"] == [runs[-2]]
    assert traces(served, f"?after={runs[0]['number']}").json() == {"runs": []}
    found = traces(served, f"/{runs[-1]['id']}").json()
    assert found["run"] == runs[-1]
    assert [span["name"] for span in found["spans"]] == ["invoke_agent guide", "execute_tool look"]
    assert found["spans"][1]["parent_id"] == runs[-1]["id"]


def test_requests_that_are_no_runs_are_not_kept(served: Program) -> None:
    before = served.store.runs(1)[0].number
    for _ in range(3):
        traces(served)
    served.ask()
    wait_until(lambda: served.store.runs(1)[0].number > before)
    assert served.store.runs(1)[0].number == before + 2, "a run and its tool"


@pytest.mark.parametrize(
    ("path", "status", "code"), [("/ffff", 404, "trace_not_found"), ("?limit=x", 400, "invalid_value")]
)
def test_what_is_wrong_with_a_request_is_said(served: Program, path: str, status: int, code: str) -> None:
    answer = traces(served, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "10.0.0.1"},
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:1"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["", "/ffff"])
def test_traces_are_for_this_machine_alone(served: Program, path: str, headers: dict[str, str]) -> None:
    answer = traces(served, path, **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_local")


def test_with_keys_who_shows_one_may_read_them_from_anywhere(served: Program) -> None:
    far = {"x-forwarded-for": "10.0.0.1"}
    with program(served.store.file, "key", OTEL_EXPORTER_OTLP_ENDPOINT="") as other:
        assert traces(other, **far, **{"x-api-key": "a-key"}).json()["runs"]
        assert traces(other, **far).status_code == 401


def test_its_own_page_may_read_them(served: Program) -> None:
    assert traces(served, **{"origin": served.url, "sec-fetch-site": "same-origin"}).status_code == 200


# Setting up


def test_the_last_spans_are_kept_when_a_server_ends(tmp_path: Path) -> None:
    with program(tmp_path / "traces.db", OTEL_BSP_SCHEDULE_DELAY="60000") as served:
        served.ask()
        served.stop()
        assert len(served.store.runs(10)) == 1
        assert ("guide", "invoke_agent guide") in served.sent()


def test_a_provider_of_the_program_keeps_its_ways(tmp_path: Path) -> None:
    with program(tmp_path / "traces.db", "own") as served:
        served.ask()
        served.stop()
        assert '"name": "invoke_agent guide"' in served.stdout
        assert served.sent() == [], "who set a provider has said where its spans go"
        assert len(served.store.runs(10)) == 1


def test_the_service_has_the_name_that_the_environment_gives(tmp_path: Path) -> None:
    with program(tmp_path / "traces.db", AGENTRUN_TRACES="", OTEL_RESOURCE_ATTRIBUTES="service.name=given") as served:
        served.ask()
        served.stop()
        assert ("given", "invoke_agent guide") in served.sent()
        assert not served.store.file.exists(), "what is sent is kept only where that is wanted too"


WITHOUT_OPENTELEMETRY = """
import asyncio, sys
sys.modules["opentelemetry.sdk"] = None  # As if it were not installed.
from agentrun.server import ServerConfig
from agentrun.server.tracing.around import Tracing
asyncio.run(Tracing("guide", ServerConfig(traces=sys.argv[1])).start())
"""


@pytest.mark.parametrize(
    ("wanted", "said", "status"),
    [("traces.db", "ConfigError: traces need opentelemetry.sdk", 1), ("no", "Spans are not sent: traces need", 0)],
)
def test_what_is_missing_is_named(tmp_path: Path, wanted: str, said: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPENTELEMETRY, wanted],
        cwd=tmp_path,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (said in done.stderr, "pip install 'agentrun[tracing]'" in done.stderr) == (True, True), done.stderr
    assert done.returncode == status
