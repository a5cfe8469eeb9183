"""Real backends and real sandboxes for the tests of this folder."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from agentrun.emulator.backends import pick
from agentrun.emulator.backends.base import Backend, Running, SandboxSpec

POLL = 0.005


def client_of(running: Running) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(running.socket))
    return httpx.AsyncClient(transport=transport, base_url="http://inside", timeout=60)


def host_processes(word: str) -> list[int]:
    """The processes of this machine whose command line has the word."""
    found: list[int] = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in line:
            found.append(int(name))
    return found


def inherited_descriptor() -> int:
    """An open descriptor that every child process gets, unless somebody prevents it."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(fd, True)
    return fd


def entries_of(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


async def eventually(check: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until the check is true; AssertionError when it does not become so."""
    for _ in range(round(seconds / POLL)):
        if check():
            return
        await asyncio.sleep(POLL)
    raise AssertionError(f"not within {seconds} s")


def cgroup_folders() -> list[str]:
    """The cgroups of this process's emulator that hold a process; empty ones are kept for the next sandbox."""
    root, prefix = "/sys/fs/cgroup", f"agentrun-{os.getpid()}-"
    folders = [folder for folder, _, _ in os.walk(root) if os.path.basename(folder).startswith(prefix)]
    return [folder for folder in folders if Path(folder, "cgroup.procs").read_text()]


@pytest.fixture(scope="module")
def run_directory() -> Generator[Path]:
    """A short path, as unix sockets need it."""
    with tempfile.TemporaryDirectory(prefix="ar") as folder:
        yield Path(folder) / "run"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def backend(run_directory: Path) -> AsyncGenerator[Backend]:
    backend = await pick(run_directory=run_directory, emulator_socket=None, emulator_port=7000)
    yield backend
    await backend.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sandbox(backend: Backend) -> AsyncGenerator[Running]:
    """A sandbox that the tests of one file share."""
    running = await backend.start_sandbox(SandboxSpec("shared", {"GREETING": "hello"}))
    await running.wait_ready()
    yield running
    await running.stop()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(sandbox: Running) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(sandbox) as client:
        yield client
