"""gVisor as the engine's runtime: what is promised of a sandbox holds there too, on a kernel that is not the host's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from agentrun.emulator.backends.base import Limits, NetworkPolicy, SandboxSpec
from agentrun.emulator.backends.docker import DockerBackend
from agentrun.emulator.backends.docker.containers import GVISOR
from agentrun.emulator.backends.docker.engine import Engine
from agentrun.emulator.backends.egress import EgressProxy
from tests.emulator.backends.docker.conftest import client_of, containers_of, execute, shell, started

pytestmark = pytest.mark.asyncio(loop_scope="module")
SPEC = SandboxSpec("strong", {"GREETING": "hello"}, Limits(memory=512, disk=16), lowest_level="gvisor")
OPEN_TERMINAL = "import os, pty; ours, theirs = pty.openpty(); os.write(theirs, b'typed'); print(os.read(ours, 5))"
CLONE_STATE = "import os; kept = 41"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def strong(engine: Engine, image: str, run_directory: Path) -> AsyncGenerator[DockerBackend]:
    """A backend on gVisor whose way out takes this machine for the internet."""
    if GVISOR not in engine.info().get("Runtimes", {}):
        pytest.skip(f"the container engine has no runtime {GVISOR}")
    backend = DockerBackend(
        run_directory=run_directory,
        emulator_socket=None,
        emulator_port=7000,
        runtime=GVISOR,
        warm=0,
        egress=EgressProxy(public=lambda address: True),
    )
    await backend.start()
    yield backend
    await backend.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sandbox(strong: DockerBackend) -> AsyncGenerator[Any]:
    """A sandbox that all tests share."""
    running = await started(strong, SPEC)
    yield running
    await running.stop()


async def test_it_has_a_kernel_of_its_own(sandbox: Any) -> None:
    assert sandbox.isolation.level == "gvisor"
    assert sandbox.isolation.missing == ()
    assert (await shell(sandbox, "uname -r")).strip() != os.uname().release


async def test_code_and_commands_run(sandbox: Any) -> None:
    assert (await execute(sandbox, "import numpy; int(numpy.arange(7).sum())"))[0]["text"] == "21"
    assert await shell(sandbox, "echo $GREETING; id -un") == "hello\nuser\n"


async def test_a_context_keeps_its_state_and_is_cloned(sandbox: Any) -> None:
    async with client_of(sandbox) as client:
        made = (await client.post("/contexts", json={"language": "python"})).json()["id"]
        await client.post("/contexts/execute", json={"contextId": made, "code": CLONE_STATE})
        fork = (await client.post(f"/contexts/{made}/fork", json={"count": 1})).json()[0]["id"]
        for context in (made, fork):
            answer = await client.post("/contexts/execute", json={"contextId": context, "code": "kept + 1"})
            assert answer.json()["results"][0]["text"] == "42"


async def test_time_is_up_in_time(sandbox: Any) -> None:
    async with client_of(sandbox) as client:
        answer = await client.post("/contexts/execute", json={"code": "while True: pass", "timeout": 1})
    assert answer.json()["results"][-1]["status"] == "timeout"


async def test_terminals_open(sandbox: Any) -> None:
    assert await shell(sandbox, f'python3 -c "{OPEN_TERMINAL}"') == "b'typed'\n"


async def test_its_agent_cannot_be_asked_to_end(sandbox: Any) -> None:
    assert await shell(sandbox, "kill -TERM 1; kill -INT 1; sleep 0.1; echo still") == "still\n"


async def test_the_way_out_follows_the_policy(sandbox: Any) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    fetch = f"NO_PROXY= no_proxy= python3 -c \"import urllib.request as r; print(r.urlopen('{url}').read())\""
    try:
        assert await shell(sandbox, fetch) == "b'hello'\n"
        await sandbox.set_network(NetworkPolicy("off"))
        assert "403" in await shell(sandbox, fetch)
    finally:
        server.close()


async def test_it_stands_still_and_goes_on(sandbox: Any) -> None:
    await sandbox.pause()
    async with client_of(sandbox) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/health", timeout=0.3)
        await sandbox.resume()
        assert (await client.get("/health")).status_code == 200


async def test_its_end_leaves_nothing(strong: DockerBackend, run_directory: Path) -> None:
    before = sorted(os.listdir(run_directory)), len(containers_of(strong))
    running = await started(strong, replace(SPEC, sandbox_id="gone"))
    await running.stop()
    assert (sorted(os.listdir(run_directory)), len(containers_of(strong))) == before
