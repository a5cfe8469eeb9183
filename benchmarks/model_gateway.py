"""The gateway of models: what it adds, how much it carries, what it keeps; LiteLLM and a bare relay beside it.

Everything is in front of the same stub, and on the same cores as the stub and the clients.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import uvloop

from agentrun import Config, ModelService, ProviderSettings
from benchmarks.emulator import answers, free_port, resident
from benchmarks.model_load import KEY, Endpoint, Load, request
from benchmarks.peers import python_with
from benchmarks.report import Figure, median

LITELLM = ("litellm", ("litellm[proxy]",))
SECONDS = float(os.environ.get("BENCHMARK_SECONDS", "10"))
# Ten minutes are what the budget says; a shorter look is enough to see a leak.
SOAK_SECONDS = float(os.environ.get("BENCHMARK_SOAK_SECONDS", "60"))
ROUNDS, CLIENTS, RATE = 3, 16, 100.0
STREAM = "stream-2000"
OPEN_STREAMS = 1000
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Server:
    """Something that answers chat completions."""

    port: int
    process: psutil.Process
    path: str = "/v1/chat/completions"

    @property
    def processor_seconds(self) -> float:
        """How long it has worked so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def measure(self, work: Callable[[Endpoint], Awaitable[Load]], path: str = "") -> Load:
        """What clients see of it."""

        async def measured() -> Load:
            endpoint = Endpoint(self.port, path or self.path)
            try:
                return await work(endpoint)
            finally:
                endpoint.close()

        return uvloop.run(measured())


@contextmanager
def stub(port: int = 0) -> Generator[Server]:
    """A stub model."""
    command = [sys.executable, "-m", "benchmarks.model_stub", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Server(int(process.stdout.readline()), psutil.Process(process.pid))
        finally:
            process.kill()


@contextmanager
def served(command: Sequence[str], port: int, ready: str, **environment: str) -> Generator[Server]:
    """A server of ours or of others, until the block ends."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    try:
        while not answers(f"http://127.0.0.1:{port}{ready}"):
            time.sleep(0.01)
            assert process.poll() is None, f"{command[0]} ended"
        yield Server(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


@contextmanager
def gateway(folder: Path, upstreams: Sequence[int]) -> Generator[Server]:
    """Our gateway with a plain proxy, a weighted one and a limited one."""
    services = {f"s{n}": {"base_url": f"http://127.0.0.1:{port}/v1"} for n, port in enumerate(upstreams)}
    both = [{"model_service_name": "s0", "weight": 70}, {"model_service_name": "s1", "weight": 30}]
    limits = {"gateway": {"rate_limits": [{"requests": 1000}]}}
    proxies: dict[str, Any] = {
        "plain": {"endpoints": both[:1]},
        "weighted": {"endpoints": both},
        "limited": {"endpoints": both[:1], "policies": limits},
    }
    file = folder / "gateway.yaml"
    file.write_text(json.dumps({"services": services, "proxies": proxies, "keys": {"load": KEY}}))
    port = free_port()
    command = [str(BIN / "agentrun"), "gateway", "--config", str(file), "--port", str(port)]
    with served(command, port, "/health") as server:
        yield replace(server, path="/models/plain/v1/chat/completions")


@contextmanager
def relay(upstream: int) -> Generator[Server]:
    """The bare relay."""
    port = free_port()
    command = [str(BIN / "uvicorn"), "benchmarks.model_relay:app", "--port", str(port), "--no-access-log"]
    with served(command, port, "/", UPSTREAM=f"http://127.0.0.1:{upstream}") as server:
        yield server


@contextmanager
def litellm(folder: Path, upstream: int) -> Generator[Server | None]:
    """LiteLLM's proxy, None where it cannot be installed."""
    python = python_with(*LITELLM)
    if python is None:
        yield None
        return
    file, port = folder / "litellm.yaml", free_port()
    parameters = {"api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk"}
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", **parameters}} for name in ("plain", STREAM)
    ]
    file.write_text(json.dumps({"model_list": models, "litellm_settings": {"telemetry": False}}))
    command = [str(python.parent / "litellm"), "--config", str(file), "--port", str(port), "--num_workers", "1"]
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
    with served(command, port, "/health/liveliness", **quiet) as server:
        yield server


# What is measured


def latency(direct: Server, ours: Server) -> list[Figure]:
    """What a call through the gateway takes longer, at a steady rate."""

    def paced(server: Server) -> Load:
        return server.measure(lambda endpoint: endpoint.paced("plain", RATE, SECONDS))

    pairs = [(paced(direct), paced(ours)) for _ in range(ROUNDS)]
    added = {f: median([b.percentile(f) - a.percentile(f) for a, b in pairs]) for f in (0.5, 0.99)}
    note = f"direct {median([a.percentile(0.5) for a, _ in pairs]):.2f} ms, {RATE:g} calls/s"
    return [
        Figure("added to a call, p50", added[0.5], "ms", 1.0, note=note),
        Figure("added to a call, p99", added[0.99], "ms", 5.0),
    ]


def throughput(ours: Server, bare: Server, peer: Server | None) -> list[Figure]:
    """Calls a second with clients that never rest."""

    def rate(server: Server, seconds: float = SECONDS) -> float:
        load = server.measure(lambda endpoint: endpoint.closed("plain", CLIENTS, seconds))
        assert not load.failed, load.failed[:1]
        return load.rate

    turns = [(rate(ours), rate(bare)) for _ in range(ROUNDS)]
    mine, relayed = median([a for a, _ in turns]), median([b for _, b in turns])
    figures = [
        Figure(
            "calls, times those of the bare relay",
            median([a / b for a, b in turns]),
            "times",
            0.7,
            f"Starlette and httpx {relayed:.0f}/s",
            f"{mine:.0f}/s with {CLIENTS} clients",
            at_least=True,
        )
    ]
    if peer:
        rate(peer, 2)
        others = rate(peer)
        weighs = f"LiteLLM {others:.0f}/s, {weight(peer):.0f} MB"
        figures.append(Figure("calls, times those of LiteLLM", mine / others, "times", 10, weighs, at_least=True))
    return figures


def weight(server: Server) -> float:
    """The memory of a server and its workers in MiB."""
    return sum(resident(each.pid) for each in (server.process, *server.process.children(recursive=True)))


def streams(direct: Server, ours: Server, bare: Server) -> list[Figure]:
    """Chunks for each second of the gateway's own processor time, and the first one's delay."""

    def per_core(server: Server) -> float:
        before = server.processor_seconds
        load = server.measure(lambda endpoint: endpoint.closed(STREAM, 8, SECONDS, stream=True))
        assert not load.failed, load.failed[:1]
        return load.chunks / (server.processor_seconds - before)

    def first(server: Server) -> float:
        load = server.measure(lambda endpoint: endpoint.paced("stream-20", 20, SECONDS, stream=True))
        return median(load.first) * 1000

    mine, relayed = median([per_core(ours) for _ in range(ROUNDS)]), per_core(bare)
    delay = median([first(ours) - first(direct) for _ in range(ROUNDS)])
    relayed_note = f"Starlette and httpx {relayed / 1000:.0f} k"
    return [
        Figure("streamed chunks per core", mine / 1000, "k/s", 100, relayed_note, at_least=True),
        Figure("the first chunk comes later by", delay, "ms", 1.0),
    ]


def memory(ours: Server) -> list[Figure]:
    """What the gateway weighs after much work, and with many open streams."""
    ours.measure(lambda endpoint: endpoint.closed("plain", CLIENTS, SECONDS))
    before = resident(ours.process.pid)
    ours.measure(lambda endpoint: endpoint.closed("plain", CLIENTS, SOAK_SECONDS / 2))
    ours.measure(lambda endpoint: endpoint.closed(STREAM, CLIENTS, SOAK_SECONDS / 2, stream=True))
    after = resident(ours.process.pid)
    opened = held(ours)
    each = (opened - after) * 1024 / OPEN_STREAMS
    return [
        Figure("memory grows under full load", after - before, "MB", 5, note=f"{SOAK_SECONDS:g} s, {after:.0f} MB"),
        Figure("an open stream weighs", each, "KiB", note=f"{OPEN_STREAMS} open at once, {opened:.0f} MB"),
    ]


def held(ours: Server) -> float:
    """The memory of the gateway with many streams open."""

    async def measured() -> float:
        endpoint = Endpoint(ours.port, ours.path)
        tasks = await endpoint.held("slow-600", OPEN_STREAMS)
        await asyncio.sleep(5)
        found = resident(ours.process.pid)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        endpoint.close()
        return found

    return uvloop.run(measured())


def stats(server: Server, proxy: str) -> dict[str, Any]:
    """What the gateway has counted."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/models/{proxy}/stats", headers={"authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(asked) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def exactness(ours: Server) -> list[Figure]:
    """How exact weights and limits are."""

    async def many(endpoint: Endpoint, calls: int) -> Load:
        load, message = Load(), request("plain", endpoint.path)
        for _ in range(calls // 100):
            await asyncio.gather(*(endpoint.call(message, load) for _ in range(100)))
        return load

    ours.measure(lambda endpoint: many(endpoint, 10_000), "/models/weighted/v1/chat/completions")
    counted = {found["name"]: found["requests"] for found in stats(ours, "weighted")["endpoints"]}
    share = counted["s0"] / sum(counted.values())
    limited = ours.measure(lambda endpoint: many(endpoint, 3_000), "/models/limited/v1/chat/completions")
    passed = len(limited.whole) - len(limited.failed)
    return [
        Figure("a weight of 70 % is off by", abs(share - 0.7) * 100, "%", 1.0, note="10,000 calls"),
        Figure("a limit of 1,000 a minute is off by", abs(passed - 1000), "calls", 5, note="3,000 at once"),
    ]


def killing(folder: Path) -> list[Figure]:
    """An endpoint of two dies under load and comes back."""
    port = free_port()
    with ExitStack() as stack:
        steady = stack.enter_context(stub())
        dying = ExitStack()
        dying.enter_context(stub(port))
        ours = stack.enter_context(gateway(folder, [steady.port, port]))

        async def through(endpoint: Endpoint) -> Load:
            load = asyncio.ensure_future(endpoint.paced("plain", 300, 8))
            await asyncio.sleep(2)
            dying.close()
            await asyncio.sleep(3)
            stack.enter_context(stub(port))
            back.append(await asyncio.to_thread(recovered, ours))
            return await load

        back: list[float] = []
        load = ours.measure(through, "/models/weighted/v1/chat/completions")
    return [
        Figure("calls that fail when an endpoint is killed", len(load.failed), "calls", 0, note="2,400 at 300/s"),
        Figure("used again after its return", back[0], "s", 2.0),
    ]


def recovered(ours: Server) -> float:
    """Seconds until an endpoint that is back has answered again."""
    began = time.perf_counter()
    while not all(endpoint["healthy"] for endpoint in stats(ours, "weighted")["endpoints"]):
        time.sleep(0.02)
    return time.perf_counter() - began


def sdk(direct: Server) -> list[Figure]:
    """What `completion()` costs, beside the client of the `openai` package."""
    import openai

    base_url = f"http://127.0.0.1:{direct.port}/v1"
    settings = ProviderSettings(base_url=base_url, api_key="sk", model_names=["plain"])
    service = ModelService(model_service_name="s", provider="openai", provider_settings=settings)
    service.set_config(Config(account_id="1", access_key_id="a", access_key_secret="b"))  # no secret
    theirs = openai.OpenAI(base_url=base_url, api_key="sk")
    messages: list[Any] = [{"role": "user", "content": "hello"}]

    def timed(call: Callable[[], object]) -> float:
        began = time.perf_counter()
        for _ in range(50):
            call()
        return (time.perf_counter() - began) / 50 * 1000

    turns = [
        (
            timed(lambda: theirs.chat.completions.create(model="plain", messages=messages)),
            timed(lambda: service.completion(messages)),
        )
        for _ in range(30)
    ]
    bare, ours = median([a for a, _ in turns]), median([b for _, b in turns])
    note = f"{ours:.2f} ms over {bare:.2f} ms"
    return [Figure("`completion()` over the bare openai client", (ours / bare - 1) * 100, "%", 10, note=note)]


def run() -> list[Figure]:
    """All of it."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        direct, second = stack.enter_context(stub()), stack.enter_context(stub())
        figures = sdk(direct)
        ours = stack.enter_context(gateway(folder, [direct.port, second.port]))
        figures += latency(direct, ours)
        with relay(direct.port) as bare:
            with litellm(folder, direct.port) as peer:
                figures += throughput(ours, bare, peer)
            figures += streams(direct, ours, bare)
        figures += exactness(ours)
        figures += memory(ours)
        figures += killing(folder)
        return figures
