from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import httpx
import pytest

from agentrun.emulator.backends.base import (
    BackendError,
    Limits,
    NetworkPolicy,
    NotCapable,
    Running,
    RunningSandbox,
    SandboxSpec,
    ServiceSpec,
)
from agentrun.emulator.backends.docker import DockerBackend
from tests.emulator.backends.docker.conftest import client_of, containers_of, execute, shell, started, within

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_code_runs_and_sees_its_environment(sandbox: Running) -> None:
    assert (await execute(sandbox, "1+1"))[0]["text"] == "2"
    assert await shell(sandbox, 'echo "$GREETING $HOME $USER"') == "hello /home/user user\n"
    assert (await execute(sandbox, "import numpy, pandas, matplotlib; pandas.DataFrame({'a': [1]}).size"))[0][
        "text"
    ] == "1"
    assert isinstance(sandbox, RunningSandbox)


async def test_the_level_is_reported_honestly(sandbox: Running, backend: DockerBackend) -> None:
    assert sandbox.isolation.level == "container"
    assert "landlock" in sandbox.isolation.missing
    with pytest.raises(NotCapable, match="AGENTRUN_DOCKER_RUNTIME"):
        await backend.start_sandbox(SandboxSpec("strong", lowest_level="gvisor"))
    assert containers_of(backend) != []


async def test_code_has_its_own_uid_and_no_capabilities(sandbox: Running) -> None:
    assert int(await shell(sandbox, "id -u")) not in (0, os.getuid())
    assert await shell(sandbox, "id -un") == "user\n"
    status = await shell(sandbox, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status")
    facts = {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}
    assert {int(value, 16) for name, value in facts.items() if name.startswith("Cap")} == {0}
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize(
    "path", ["/usr/x", "/etc/passwd", "/x", "/run/agentrun/x", "/opt/venv/x", "/proc/sys/kernel/x"]
)
async def test_the_system_cannot_be_written(sandbox: Running, path: str) -> None:
    assert "written" not in await shell(sandbox, f"echo x > {path} && echo written")


async def test_home_and_tmp_are_writable_and_hold_programs(sandbox: Running) -> None:
    script = "printf '#!/bin/sh\\necho ran\\n' > {0}/x && chmod +x {0}/x && {0}/x"
    assert await shell(sandbox, script.format("~")) == "ran\n"
    assert await shell(sandbox, script.format("/tmp")) == "ran\n"


async def test_no_process_and_no_file_of_the_host_is_visible(sandbox: Running, run_directory: Path) -> None:
    assert "pytest" not in await shell(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    for path in (run_directory, Path("/var/run/docker.sock"), Path(__file__)):
        assert "No such file" in await shell(sandbox, f"ls {path}")


async def test_nothing_of_the_build_machine_is_left_in_the_image(sandbox: Running) -> None:
    assert (
        await shell(sandbox, "ls /etc/pip.conf /run/host /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null")
        == ""
    )
    listed = await shell(sandbox, "find / -xdev -name 'pip.conf' 2>/dev/null")
    assert listed == ""


async def test_the_agent_cannot_be_killed_from_inside(sandbox: Running) -> None:
    await shell(sandbox, "kill -9 1; sleep 0.1")
    assert sandbox.alive
    assert await shell(sandbox, "echo still") == "still\n"


async def test_disk_memory_and_processes_are_limited(backend: DockerBackend) -> None:
    running = await started(backend, SandboxSpec("small", limits=Limits(memory=256, processes=40, disk=16)))
    try:
        assert "No space left" in await shell(running, "head -c 30000000 /dev/zero > ~/big")
        await shell(running, "rm ~/big")
        bomb = "import subprocess\nfor _ in range(60): subprocess.Popen(['sleep', '30'])"
        assert any(entry.get("name") == "BlockingIOError" for entry in await execute(running, bomb))
        await shell(running, "pkill sleep")
        ended = await execute(running, "data = []\nwhile True: data.append(bytearray(10_000_000))")
        assert any(entry["type"] == "error" for entry in ended)
        assert (await execute(running, "1+1"))[0]["text"] == "2"
    finally:
        await running.stop()


async def test_without_network_there_is_no_way_out(backend: DockerBackend) -> None:
    running = await started(backend, SandboxSpec("alone", network=NetworkPolicy("off")))
    try:
        assert await shell(running, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '") == "lo\n"
        assert "PROXY" not in (await shell(running, "env")).upper()
        answer = await shell(running, "python3 -c \"import socket; socket.create_connection(('1.1.1.1', 53), 2)\"")
        assert "unreachable" in answer
    finally:
        await running.stop()


async def test_the_way_out_follows_the_policy_while_running(backend: DockerBackend) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fetch = f"NO_PROXY= no_proxy= python3 -c \"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/').read())\""
    running = await started(backend, SandboxSpec("net"))
    try:
        assert await shell(running, fetch) == "b'hello'\n"
        await running.set_network(NetworkPolicy("off"))
        assert "403" in await shell(running, fetch)
        await running.set_network(NetworkPolicy("on"))
        assert await shell(running, fetch) == "b'hello'\n"
    finally:
        await running.stop()
        server.close()


async def test_a_paused_sandbox_stands_still_and_goes_on(backend: DockerBackend) -> None:
    running = await started(backend, SandboxSpec("paused"))
    await running.pause()
    async with client_of(running) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/health", timeout=0.3)
        await running.resume()
        assert (await client.get("/health")).status_code == 200
    await running.pause()
    await running.stop()
    assert not running.alive


async def test_stop_leaves_nothing_and_may_be_repeated(backend: DockerBackend, run_directory: Path) -> None:
    before = sorted(os.listdir(run_directory)), len(containers_of(backend))
    running = await started(backend, SandboxSpec("gone"))
    assert len(containers_of(backend)) == before[1] + 1
    await asyncio.gather(running.stop(), running.stop())
    await running.stop()
    assert not running.alive
    assert (sorted(os.listdir(run_directory)), len(containers_of(backend))) == before


async def test_a_container_that_dies_is_noticed(backend: DockerBackend) -> None:
    running = await started(backend, SandboxSpec("dies"))
    backend.engine.remove(running.container)
    assert await asyncio.wait_for(running.wait_ended(), 10) == 137
    assert not running.alive
    with pytest.raises(BackendError, match="does not run"):
        await running.pause()
    await running.stop()


@pytest.mark.parametrize("after", [0.0, 0.005, 0.03, 0.1])
async def test_a_cancelled_start_leaves_nothing(backend: DockerBackend, run_directory: Path, after: float) -> None:
    before = sorted(os.listdir(run_directory)), len(containers_of(backend))
    starting = asyncio.ensure_future(backend.start_sandbox(SandboxSpec("cancelled")))
    await asyncio.sleep(after)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert (sorted(os.listdir(run_directory)), len(containers_of(backend))) == before


async def test_the_event_loop_is_never_blocked(backend: DockerBackend) -> None:
    longest, stop = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        while not stop.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - began)

    watching = asyncio.ensure_future(watch())
    running = await started(backend, SandboxSpec("quick"))
    await running.stop()
    stop.set()
    await watching
    assert longest < 0.1


async def test_services_are_refused_with_the_reason(backend: DockerBackend, tmp_path: Path) -> None:
    with pytest.raises(NotCapable, match="runs sandboxes only"):
        await backend.start_service(ServiceSpec("s", tmp_path, ["true"], 9000))


async def test_a_runtime_that_the_engine_lacks_is_named(image: str, run_directory: Path) -> None:
    backend = DockerBackend(run_directory=run_directory / "r", emulator_socket=None, emulator_port=1, runtime="nothere")
    with pytest.raises(BackendError, match="no runtime 'nothere'"):
        await backend.start()
    await backend.close()


async def test_a_run_directory_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    long = DockerBackend(run_directory=tmp_path / ("x" * 90), emulator_socket=None, emulator_port=1)
    with pytest.raises(BackendError, match="too long"):
        await long.start()


async def test_many_at_once(backend: DockerBackend) -> None:
    async def life(number: int) -> str:
        running = await started(backend, SandboxSpec(f"many-{number}"))
        try:
            return str((await execute(running, f"{number} * 2"))[0]["text"])
        finally:
            await running.stop()

    before = len(containers_of(backend))
    assert await asyncio.gather(*map(life, range(4))) == ["0", "2", "4", "6"]
    await within(5, lambda: len(containers_of(backend)) == before)
