"""`agentrun gateway` as its users start it: processes, a port, signals, and Redis between them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrun.emulator import Emulator, Latency, Reply, Rule, Script, When
from tests.otlp import collector
from tests.unit.gateway.redis_server import RedisServer

PATIENCE = 30.0
PROGRAM = (sys.executable, "-c", "from agentrun.cli import main; main()", "gateway")
KEY = {"authorization": "Bearer sk-caller"}
ASKED: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def model() -> Generator[str]:
    slow = Rule(When(user="slowly"), Reply("one two three four five", latency=Latency(0.0, tokens_per_second=5)))
    with Emulator(script=Script([slow])) as emulator:
        yield f"{emulator.url}/scripted/v1"


@pytest.fixture
def redis_server() -> Generator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


def shared(redis_server: RedisServer) -> dict[str, str]:
    """State in a Redis that is waited for, however busy the machine is."""
    return {"AGENTRUN_REDIS_URL": redis_server.url, "AGENTRUN_REDIS_TIMEOUT_SECONDS": "20"}


def written(folder: Path, base_url: str, policies: dict[str, Any] | None = None, **more: Any) -> Path:
    """A file with one proxy."""
    proxy = {"endpoints": [{"model_service_name": "s"}], **({"policies": policies} if policies else {})}
    service = {"base_url": base_url, "api_key": "${PROVIDER_KEY:-sk-provider}"}
    content = {"services": {"s": service}, "proxies": {"chat": proxy}, "keys": {"caller": "sk-caller"}, **more}
    file = folder / "gateway.yaml"
    file.write_text(json.dumps(content))
    return file


@contextmanager
def running(file: Path, *options: str, **environment: str) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """A gateway that answers, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    command = [*PROGRAM, "--config", str(file), "--port", str(port), *options]
    with subprocess.Popen(command, env={**os.environ, **environment}, text=True, stderr=subprocess.PIPE) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait(url, process)
            yield url, process
        finally:
            process.terminate()
            process.communicate()


def _wait(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, "the gateway ended"
        try:
            httpx.get(f"{url}/health", trust_env=False).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the gateway does not answer")


def refused(file: Path, *options: str) -> str:
    """What is said of a file that is not served."""
    done = subprocess.run([*PROGRAM, "--config", str(file), *options], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    return done.stderr


async def _asked(urls: Sequence[str], calls: int) -> list[int]:
    """Statuses of many calls, spread over several gateways."""
    async with httpx.AsyncClient(headers=KEY, timeout=PATIENCE, trust_env=False) as client:

        async def one(number: int) -> int:
            return (await client.post(f"{urls[number % len(urls)]}/v1/chat/completions", json=ASKED)).status_code

        statuses: list[int] = []
        for begin in range(0, calls, 50):
            statuses += await asyncio.gather(*(one(number) for number in range(begin, begin + 50)))
        return statuses


def test_a_file_is_served(tmp_path: Path, model: str) -> None:
    with running(written(tmp_path, model)) as (url, _), httpx.Client(trust_env=False, headers=KEY) as client:
        answer = client.post(f"{url}/v1/chat/completions", json=ASKED)
        assert answer.json()["choices"][0]["message"]["content"] == "hello"
        assert answer.headers["x-agentrun-endpoint"] == "s"
        assert 'agentrun_gateway_requests_total{proxy="chat"} 1' in client.get(f"{url}/metrics").text
        assert client.get(f"{url}/v1/models", headers={"authorization": "Bearer no"}).status_code == 401


def test_a_signal_lets_a_running_stream_end(tmp_path: Path, model: str) -> None:
    asked = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "say it slowly"}]}
    with running(written(tmp_path, model)) as (url, process):
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=asked, headers=KEY, trust_env=False) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            assert list(lines)[-2:] == ["data: [DONE]", ""]
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM)


def test_two_processes_keep_one_limit_exactly(tmp_path: Path, model: str, redis_server: RedisServer) -> None:
    limits = {"gateway": {"rate_limits": [{"requests": 100, "window_seconds": 600}]}}
    file = written(tmp_path, model, limits)
    with ExitStack() as stack:
        urls = [stack.enter_context(running(file, **shared(redis_server)))[0] for _ in range(2)]
        statuses = asyncio.run(_asked(urls, 300))
    assert (statuses.count(200), statuses.count(429)) == (100, 200)


def test_workers_share_a_port_and_a_limit(tmp_path: Path, model: str, redis_server: RedisServer) -> None:
    limits = {"gateway": {"rate_limits": [{"requests": 40, "window_seconds": 600}]}}
    file = written(tmp_path, model, limits)
    with running(file, "--workers", "2", **shared(redis_server)) as (url, _):
        statuses = asyncio.run(_asked([url], 100))
    assert (statuses.count(200), statuses.count(429)) == (40, 60)


def test_without_redis_several_workers_cannot_keep_limits(tmp_path: Path) -> None:
    limits = {"gateway": {"budgets": [{"tokens": 10}]}}
    said = refused(written(tmp_path, "http://127.0.0.1:1/v1", limits), "--workers", "2")
    assert "proxies.chat has limits or budgets" in said
    assert "AGENTRUN_REDIS_URL" in said


def test_without_keys_only_this_machine_is_served(tmp_path: Path) -> None:
    file = written(tmp_path, "http://127.0.0.1:1/v1", keys={})
    assert "has no keys, and 0.0.0.0 is not loopback" in refused(file, "--host", "0.0.0.0")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("proxies: [", "cannot be read"),
        ("[]", "must hold an object with `proxies`"),
        ("proxies: {chat: {endpoint: []}}", "Did you mean endpoints?"),
        ("proxies: {chat: {endpoints: [{model_service_name: s}]}}", "there is no service 's'; there are none"),
        ("proxies: {chat: {endpoints: []}}", "proxy chat has no endpoints"),
        ("proxies: {chat: {endpoints: [{base_url: 'ftp://x'}]}}", "is not an http:// or https:// URL"),
        ("proxies: {}\nkeys: {a: '${NOT_THERE}'}", "keys.a.key needs the environment variable NOT_THERE"),
        ("proxies: {}\nfunctions: {f: 'no_such_module:f'}", "functions.f: 'no_such_module:f' cannot be imported"),
        (
            "proxies: {chat: {endpoints: [{base_url: 'http://x'}], policies: {gateway: {budgets: [{cost: 1}]}}}}",
            "proxies.chat: a budget of money (budgets[].cost) needs prices",
        ),
        (
            "proxies: {chat: {endpoints: [{base_url: 'http://x'}], policies: {gateway: {content_checks: "
            "[{name: n, patterns: ['(']}]}}}}",
            "content check 'n'",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(content)
    assert said in refused(file, "--check")


def test_a_stopped_gateway_leaves_nothing(tmp_path: Path, model: str) -> None:
    with running(written(tmp_path, model), "--workers", "2") as (_, process):
        children = _children(process.pid)
        assert children
    deadline = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []


def _children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def test_spans_go_where_the_environment_says(tmp_path: Path, model: str) -> None:
    with collector() as (endpoint, received):
        where = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with running(written(tmp_path, model), **where) as (url, _):
            httpx.post(f"{url}/v1/chat/completions", json=ASKED, headers=KEY, trust_env=False).raise_for_status()
            deadline = time.monotonic() + PATIENCE
            while not received and time.monotonic() < deadline:
                time.sleep(0.05)
    sent = b"".join(received)
    assert b"chat chat" in sent
    assert b"gen_ai.usage.input_tokens" in sent
    assert b"hello" not in sent, "what is asked is in no span"
    assert b"sk-" not in sent
