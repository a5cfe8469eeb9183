"""A real engine, its images, and a backend on it; without an engine the tests of this folder are skipped."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from agentrun.emulator.backends.base import BackendError, Running, SandboxSpec
from agentrun.emulator.backends.docker import DockerBackend, images
from agentrun.emulator.backends.docker.engine import Engine, connect
from agentrun.emulator.backends.docker.ownership import INSTANCE
from agentrun.emulator.backends.egress import EgressProxy

Shell = Callable[[str], Awaitable[str]]


def client_of(running: Running) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(running.socket))
    return httpx.AsyncClient(transport=transport, base_url="http://inside", timeout=60)


async def shell(running: Running, command: str, timeout: float = 20) -> str:
    """What a command writes inside, on both outputs."""
    async with client_of(running) as client:
        response = await client.post("/processes/cmd", json={"command": command, "timeout": timeout})
    result = response.json()["result"]
    return str(result["stdout"] + result["stderr"])


async def execute(running: Running, code: str) -> list[dict[str, Any]]:
    async with client_of(running) as client:
        response = await client.post("/contexts/execute", json={"code": code, "timeout": 20})
    return list(response.json()["results"])


async def started(backend: DockerBackend, spec: SandboxSpec) -> Any:
    """A sandbox that answers."""
    running = await backend.start_sandbox(spec)
    try:
        await running.wait_ready()
    except BackendError:
        await running.stop()
        raise
    return running


async def within(seconds: float, check: Callable[[], object]) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.02)


def containers_of(backend: DockerBackend) -> list[dict[str, Any]]:
    return backend.engine.containers(f"{INSTANCE}={backend.owner.nonce}")


@pytest.fixture(scope="session")
def engine() -> Generator[Engine]:
    try:
        engine = connect()
        engine.info()
    except BackendError as error:
        pytest.skip(f"no container engine: {error}")
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """The image of this version, which is built beforehand: `make test-docker` does so."""
    try:
        return images.check(engine)
    except BackendError as error:
        pytest.skip(f"no image: {error}")


@pytest.fixture(scope="module")
def run_directory() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="ar") as folder:
        yield Path(folder) / "run"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def backend(image: str, run_directory: Path) -> AsyncGenerator[DockerBackend]:
    """A backend without a pool whose way out takes this machine for the internet."""
    backend = DockerBackend(
        run_directory=run_directory,
        emulator_socket=None,
        emulator_port=7000,
        warm=0,
        egress=EgressProxy(public=lambda address: True),
    )
    await backend.start()
    yield backend
    await backend.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sandbox(backend: DockerBackend) -> AsyncGenerator[Running]:
    """A sandbox that the tests of one file share."""
    running = await started(backend, SandboxSpec("shared", {"GREETING": "hello"}))
    yield running
    await running.stop()
