"""A served agent in a process of its own, which keeps and sends its traces."""

from __future__ import annotations

import os
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

from agentrun.server.tracing.record import SpanRecord
from agentrun.server.tracing.store import TraceStore
from tests.gateway.serving import plain_client, wait_until
from tests.otlp import collector

PATIENCE = 60.0
PROGRAM = Path(__file__).parent / "traced_program.py"


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
