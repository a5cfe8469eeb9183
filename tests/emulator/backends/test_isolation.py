from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from agentrun.emulator.backends.base import Backend, Limits, NetworkPolicy, Running, SandboxSpec
from tests.emulator.backends.conftest import cgroup_folders, client_of, entries_of, host_processes, inherited_descriptor

pytestmark = pytest.mark.asyncio(loop_scope="module")
REPOSITORY = Path(__file__).resolve().parents[3]
HOME = Path.home()
AS_ROOT = os.geteuid() == 0
Shell = Callable[[str], Awaitable[str]]


def shell_of(client: httpx.AsyncClient) -> Shell:
    async def shell(command: str) -> str:
        response = await client.post("/processes/cmd", json={"command": command})
        result = response.json()["result"]
        return str(result["stdout"] + result["stderr"])

    return shell


@pytest.fixture
def shell(client: httpx.AsyncClient) -> Shell:
    return shell_of(client)


@pytest_asyncio.fixture(loop_scope="module")
async def small(backend: Backend) -> AsyncGenerator[Running]:
    """A sandbox with little memory, few processes and no network."""
    limits = Limits(memory=300, processes=40, file_size=8)
    running = await backend.start_sandbox(SandboxSpec("small", limits=limits, network=NetworkPolicy("off")))
    await running.wait_ready()
    yield running
    await running.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def small_shell(small: Running) -> AsyncGenerator[Shell]:
    async with client_of(small) as client:
        yield shell_of(client)


async def test_the_level_is_reported(sandbox: Running) -> None:
    assert sandbox.isolation.level.startswith("namespaces+uid" if AS_ROOT else "namespaces")
    # Both are on every machine that tests run on.
    assert not {"seccomp", "landlock"} & set(sandbox.isolation.missing)


async def test_code_has_its_own_uid_and_no_capabilities(shell: Shell, backend: Backend) -> None:
    uid = int(await shell("id -u"))
    assert uid not in (0, os.getuid())
    status = await shell("grep -E '^(Cap(Prm|Eff|Amb)|NoNewPrivs|Groups)' /proc/self/status")
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}
    assert {int(facts[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")} == {0}
    assert facts["NoNewPrivs"] == "1"
    if AS_ROOT:
        assert facts["Groups"] == ""
        other = await backend.start_sandbox(SandboxSpec("other"))
        await other.wait_ready()
        async with client_of(other) as client:
            assert int(await shell_of(client)("id -u")) != uid
        await other.stop()


async def test_only_its_own_processes_are_visible(shell: Shell) -> None:
    commands = await shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "pytest" not in commands
    assert "bwrap" not in commands
    assert len((await shell("ls -d /proc/[0-9]*")).split()) < 12


async def test_nothing_of_the_host_is_visible(shell: Shell, run_directory: Path) -> None:
    marker = run_directory.parent / "secret-of-the-host"
    marker.write_text("secret")
    for path in (marker, run_directory, REPOSITORY / "pyproject.toml", REPOSITORY / "tests", Path("/etc/shadow")):
        assert "No such file" in await shell(f"ls {path}")
    for folder in (HOME, REPOSITORY):
        assert set((await shell(f"ls -A {folder} 2>/dev/null")).split()) <= {".pyenv", ".venv", "agentrun"}
    assert "No such file" in await shell("ls /sys")


async def test_the_environment_is_clean(shell: Shell, monkeypatch: pytest.MonkeyPatch, backend: Backend) -> None:
    monkeypatch.setenv("ACCESS_KEY_OF_THE_HOST", "leak")
    running = await backend.start_sandbox(SandboxSpec("env", {"MINE": "1"}))
    await running.wait_ready()
    async with client_of(running) as client:
        everything = await shell_of(client)("env; cat /proc/[0-9]*/environ 2>/dev/null")
    await running.stop()
    assert "leak" not in everything
    assert "MINE=1" in everything


async def test_secrets_are_in_no_command_line_of_the_host(backend: Backend) -> None:
    running = await backend.start_sandbox(SandboxSpec("s", {"TOKEN": "tok-81723"}))
    await running.wait_ready()
    assert host_processes("tok-81723") == []
    await running.stop()


async def test_no_descriptors_are_inherited(backend: Backend) -> None:
    fd = inherited_descriptor()
    running = await backend.start_sandbox(SandboxSpec("fds"))
    await running.wait_ready()
    async with client_of(running) as client:
        listed = await shell_of(client)("ls -l /proc/self/fd")
    await running.stop()
    os.close(fd)
    assert len(listed.splitlines()) == 5  # the total, 0, 1, 2 and the listed folder itself


@pytest.mark.parametrize("path", ["/usr/x", "/etc/passwd", "/x", "/root/x", "/proc/sys/kernel/hostname"])
async def test_the_system_cannot_be_written(shell: Shell, path: str) -> None:
    answer = await shell(f"echo x > {path} && echo written")
    assert "written" not in answer


async def test_home_and_tmp_are_writable_and_private(shell: Shell, small_shell: Shell) -> None:
    assert await shell("echo a > ~/f && echo b > /tmp/f && cat ~/f /tmp/f && touch /dev/shm/x") == "a\nb\n"
    assert "No such file" in await small_shell("cat ~/f")
    assert "No such file" in await small_shell("cat /tmp/f")


async def test_a_fork_bomb_is_limited_and_the_sandbox_survives(small: Running, small_shell: Shell) -> None:
    before = len(os.listdir("/proc"))
    async with client_of(small) as client:
        bomb = {"command": "f() { f | f & }; f; sleep 1", "timeout": 2}
        task = asyncio.create_task(client.post("/processes/cmd", json=bomb))
        await asyncio.sleep(0.5)
        assert len(os.listdir("/proc")) - before < 80
        assert "Resource temporarily unavailable" in (await task).json()["result"]["stderr"]
        for item in (await client.get("/processes")).json()["items"]:
            await client.delete(f"/processes/{item['processId']}")
    assert small.alive


async def test_a_memory_bomb_ends_the_code_not_the_sandbox(small: Running) -> None:
    async with client_of(small) as client:
        code = "data = []\nwhile True: data.append(bytearray(10_000_000))"
        response = await client.post("/contexts/execute", json={"code": code, "timeout": 20})
        error = next(entry for entry in response.json()["results"] if entry["type"] == "error")
        assert error["name"] in ("InterpreterExited", "MemoryError")
        again = await client.post("/contexts/execute", json={"code": "1+1"})
        assert again.json()["results"][0]["text"] == "2"


async def test_large_files_are_limited(small_shell: Shell) -> None:
    assert "copied" not in await small_shell("head -c 20000000 /dev/zero > ~/big && echo copied")
    assert int(await small_shell("stat -c %s ~/big")) <= 8 * 1024 * 1024


async def test_without_network_nothing_can_be_reached(small_shell: Shell) -> None:
    assert (
        await small_shell("ls /proc/net/dev >/dev/null; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '") == "lo\n"
    )
    answer = await small_shell("python3 -c \"import socket; socket.create_connection(('1.1.1.1', 53), 2)\"")
    assert "unreachable" in answer
    # The way out is there, because it may be opened while the sandbox runs; until then it refuses everything.
    assert "403" in await small_shell("python3 -c \"import urllib.request as r; r.urlopen('http://example.com')\"")


async def test_the_way_out_refuses_the_host(shell: Shell) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code = f"""import urllib.request, urllib.error
try: urllib.request.urlopen('http://127.0.0.1:{port}/')
except urllib.error.HTTPError as error: print(error.code, error.read().decode())"""
    answer = await shell(f'NO_PROXY= no_proxy= python3 -c "{code}"')
    assert answer.startswith(f"403 127.0.0.1:{port} (127.0.0.1) is refused")
    direct = await shell(f"python3 -c \"import socket; socket.create_connection(('127.0.0.1', {port}), 2)\"")
    assert "refused" in direct
    server.close()


async def test_stop_leaves_nothing(backend: Backend, run_directory: Path) -> None:
    before = entries_of(run_directory), cgroup_folders()
    running = await backend.start_sandbox(SandboxSpec("gone", {}))
    await running.wait_ready()
    async with client_of(running) as client:
        await shell_of(client)("setsid sleep 98765 & sleep 98765 & sleep 0.2")
    assert len(host_processes("sleep\x0098765")) == 2
    await running.stop()
    await running.stop()
    assert not running.alive
    assert host_processes("sleep\x0098765") == []
    assert (entries_of(run_directory), cgroup_folders()) == before


async def test_a_paused_sandbox_stands_still_and_goes_on(backend: Backend) -> None:
    running = await backend.start_sandbox(SandboxSpec("paused"))
    await running.wait_ready()
    async with client_of(running) as client:
        await shell_of(client)("(while :; do date +%s%N > ~/clock; sleep 0.01; done) >/dev/null 2>&1 &")
        await running.pause()
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/health", timeout=0.3)
        await running.resume()
        assert (await client.get("/health")).status_code == 200
        await running.pause()
    await running.stop()
    assert not running.alive


async def test_ten_at_once(backend: Backend) -> None:
    async def life(number: int) -> str:
        running = await backend.start_sandbox(SandboxSpec(f"s{number}"))
        await running.wait_ready()
        async with client_of(running) as client:
            response = await client.post("/contexts/execute", json={"code": f"{number} * 2"})
        await running.stop()
        return str(response.json()["results"][0]["text"])

    before = cgroup_folders()
    assert await asyncio.gather(*map(life, range(10))) == [str(number * 2) for number in range(10)]
    assert cgroup_folders() == before
