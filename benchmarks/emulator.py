"""The emulator: how soon it answers and is gone, what a control read costs, what it weighs, the cost of many."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from agentrun import (
    Config,
    Credential,
    CredentialConfig,
    ModelProxy,
    ModelService,
    ProviderSettings,
    ProxyConfig,
    ProxyConfigEndpoint,
    Sandbox,
    Template,
)
from agentrun.emulator import Settings, build_app
from benchmarks.call_overhead import stub
from benchmarks.peers import MOTO, python_with
from benchmarks.report import Figure, median

STARTS, READS = 7, 400
MOTO_BODY = b'{"SecretId": "key"}'
MOTO_HEADERS = {
    "content-type": "application/x-amz-json-1.1",
    "authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/secretsmanager/aws4_request, "
    "SignedHeaders=host, Signature=0",
}


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Whether a server says anything at all."""
    try:
        urllib.request.urlopen(url, timeout=1)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def life(command: Sequence[str | Path], url: str) -> tuple[float, float]:
    """Milliseconds from the start of a process to its first answer, and from SIGTERM to its end."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    while not answers(url):
        time.sleep(0.001)
    ready = time.perf_counter() - began
    time.sleep(0.2)
    began = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    process.wait()
    return ready * 1000, (time.perf_counter() - began) * 1000


def lives(command: Callable[[int], Sequence[str | Path]], path: str) -> tuple[float, float]:
    """Median of some lives."""
    measured = [life(command(port), f"http://127.0.0.1:{port}{path}") for port in (free_port() for _ in range(STARTS))]
    return median([ready for ready, _ in measured]), median([stop for _, stop in measured])


def ours(port: int) -> list[str]:
    """The command of the emulator's process."""
    return [sys.executable, "-m", "agentrun.emulator", f"--port={port}"]


@contextmanager
def running(command: Sequence[str | Path], url: str) -> Generator[int]:
    """The process id of a server, while it runs."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    try:
        while not answers(url):
            time.sleep(0.005)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def resident(pid: int) -> float:
    """The memory of a process in MiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found.group(1)) / 1024


def timed(call: Callable[[], object], count: int = READS) -> float:
    """Median milliseconds of a call."""
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return median(took)


def touch_everything(config: Config) -> None:
    """Use every kind of resource once."""
    secret = CredentialConfig.outbound_llm_api_key("sk", "openai")
    Credential.create(credential_name="key", credential_config=secret, config=config)
    settings = ProviderSettings(base_url="http://127.0.0.1:1/v1", model_names=["m"])
    ModelService.create(
        model_service_name="m", model_type="llm", provider="openai", provider_settings=settings, config=config
    )
    endpoint = ProxyConfigEndpoint(base_url=f"{config.get_control_endpoint()}/scripted/v1", model_names=["m"])
    proxy = ModelProxy.create(model_proxy_name="p", proxy_config=ProxyConfig(endpoints=[endpoint]), config=config)
    proxy.completion([{"role": "user", "content": "hello"}])
    template = Template.create(template_name="t", template_type="CodeInterpreter", config=config)
    with Sandbox.create(template_name=template.template_name, config=config) as sandbox:
        sandbox.context.execute("1+1")


def over_tcp() -> list[Figure]:
    """A signed, verified, journalled control read through our own client, and the emulator's memory."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(ours(port), f"{url}/_emulator/health") as pid:
        config = Config.local(port)
        touch_everything(config)
        read = timed(lambda: Credential.get_by_name("key", config=config))
        size = resident(pid)
    with stub() as plain, httpx.Client() as client:
        floor = timed(lambda: client.get(f"http://127.0.0.1:{plain}/"))
    return [
        Figure("control read over TCP", read, "ms", 0.60, moto_read(), f"bare httpx to a stub {floor:.2f} ms"),
        Figure("memory after touching everything", size, "MB", 60),
    ]


def moto_read() -> str:
    """The same kind of read from moto_server: a secret by its name."""
    python = python_with(*MOTO)
    if python is None:
        return "moto_server not installable"
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    command: list[str | Path] = [python.parent / "moto_server", "-p", str(port)]
    with running(command, url) as pid, httpx.Client(headers=MOTO_HEADERS) as client:
        create = b'{"Name": "key", "SecretString": "x", "ClientRequestToken": "0123456789abcdef0123456789abcdef"}'
        client.post(url, content=create, headers={"x-amz-target": "secretsmanager.CreateSecret"})
        target = {"x-amz-target": "secretsmanager.GetSecretValue"}
        assert client.post(url, content=MOTO_BODY, headers=target).status_code == 200
        took = timed(lambda: client.post(url, content=MOTO_BODY, headers=target))
        return f"moto_server {took:.2f} ms, {resident(pid):.0f} MB"


async def in_process() -> float:
    """Milliseconds of a control read without a network: our client over an ASGI transport."""
    app = build_app(Settings())
    await app.platform.start()
    config = Config.local().replace(transport=httpx.ASGITransport(app))
    secret = CredentialConfig.outbound_llm_api_key("sk", "openai")
    await Credential.create_async(credential_name="key", credential_config=secret, config=config)
    took: list[float] = []
    for _ in range(READS):
        began = time.perf_counter()
        await Credential.get_by_name_async("key", config=config)
        took.append((time.perf_counter() - began) * 1000)
    await app.platform.close()
    return median(took)


def many() -> list[Figure]:
    """How a read and a create change between ten and ten thousand resources."""
    port = free_port()
    secret = CredentialConfig.outbound_llm_api_key("sk", "openai")
    with running(ours(port), f"http://127.0.0.1:{port}/_emulator/health"):
        config = Config.local(port)

        def create(number: int) -> object:
            return Credential.create(credential_name=f"key-{number}", credential_config=secret, config=config)

        numbers = iter(range(20_000))
        few_create = timed(lambda: create(next(numbers)), 200)
        few_get = timed(lambda: Credential.get_by_name("key-5", config=config), 200)
        for _ in range(10_000):
            create(next(numbers))
        many_create = timed(lambda: create(next(numbers)), 200)
        many_get = timed(lambda: Credential.get_by_name("key-9000", config=config), 200)
    return [
        Figure("get at 10,000 over get at 200", many_get / few_get, "times", 1.25, "", f"{many_get:.2f} ms"),
        Figure(
            "create at 10,000 over create at 200", many_create / few_create, "times", 1.25, "", f"{many_create:.2f} ms"
        ),
    ]


def run() -> list[Figure]:
    """The figures."""
    ready, stop = lives(ours, "/_emulator/health")
    moto = python_with(*MOTO)
    peer = "moto_server not installable"
    if moto:
        moto_ready, moto_stop = lives(lambda port: [moto.parent / "moto_server", "-p", str(port)], "/")
        peer = f"moto_server {moto_ready:.0f} ms, stop {moto_stop:.0f} ms"
    inside = asyncio.run(in_process())
    return [
        Figure("from start to first answer", ready, "ms", 250, peer),
        Figure("from SIGTERM to the end", stop, "ms", 20, peer),
        Figure("control read in process, client included", inside, "ms", 0.30),
        *over_tcp(),
        *many(),
    ]
