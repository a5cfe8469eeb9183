from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrun.emulator.backends.base import Running
from agentrun.emulator.guest.doors import listen_inside
from agentrun.emulator.guest.serving import prepare, serve
from tests.emulator.backends.conftest import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE = 5.0
SERVER = """
import socket, sys
listening = socket.create_server((sys.argv[1], int(sys.argv[2])), family=socket.AF_INET6 if ":" in sys.argv[1] else 2)
print("up", flush=True)
while True:
    connection, _ = listening.accept()
    received = b"".join(iter(lambda: connection.recv(65536), b""))
    connection.sendall(b"received %d" % len(received))
    connection.close()
"""


class NoSource:
    """For sandboxes that are not asked for an interpreter."""

    async def open(self) -> None:
        return None

    async def python(self, cwd: str) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        return None


class Forked:
    """An agent in a fork of this process, as a launcher makes one."""

    def __init__(self, path: Path, forwards: tuple[tuple[int, str], ...] = ()) -> None:
        self.path = path
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
        self.lifeline, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.began = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                asyncio.events._set_running_loop(None)
                self.lifeline.close()
                doors = [(listen_inside(port), target) for port, target in forwards]
                serve(listening, source=NoSource(), lifeline=far, forwards=doors)
                os._exit(0)
            os._exit(1)
        listening.close()
        far.close()
        self.lifeline.settimeout(PATIENCE)

    def packet(self) -> tuple[dict[str, Any], list[int]]:
        data, descriptors, _, _ = socket.recv_fds(self.lifeline, 65536, 1)
        return json.loads(data), descriptors

    def end(self) -> int:
        self.lifeline.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.HTTPTransport(uds=str(self.path)), base_url="http://inside", timeout=10)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def agent(home: Path) -> Generator[Forked]:
    prepare()
    agent = Forked(home / "socket")
    assert agent.packet()[0] == {"ready": True}
    yield agent
    with contextlib.suppress(ChildProcessError):
        agent.end()


async def test_an_agent_serves_soon_after_the_fork(agent: Forked) -> None:
    assert time.monotonic() - agent.began < 0.1
    with agent.client() as client:
        assert client.get("/health").json()["status"] == "ok"


async def test_the_end_of_the_lifeline_ends_everything(agent: Forked, home: Path) -> None:
    with agent.client() as client:
        body = {"command": "setsid sleep 3131 & echo $! > pid; exec sleep 3131"}
        started = client.post("/processes", json=body).json()
        await eventually(lambda: (home / "pid").exists() and (home / "pid").read_text())
        pids = [int(started["processId"]), int((home / "pid").read_text())]
    assert agent.end() == 0
    assert not {str(pid) for pid in pids} & set(os.listdir("/proc"))


async def test_signals_do_not_end_an_agent_and_are_not_passed_on(agent: Forked) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(agent.pid, number)
    with agent.client() as client:
        assert client.get("/health").status_code == 200
        ending = client.post("/processes/cmd", json={"command": "kill -INT $$; sleep 5"}).json()
        assert ending["result"]["exitCode"] == 130


async def test_exit_codes_are_kept_while_orphans_are_reaped(agent: Forked) -> None:
    with agent.client() as client:
        for code in range(20):
            command = f"for i in 1 2 3 4 5; do (true & (sleep 0.01 &)) ; done; exit {code}"
            assert client.post("/processes/cmd", json={"command": command}).json()["result"]["exitCode"] == code
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children")
    await eventually(lambda: children.read_text() == "")


async def test_large_files_pass_in_constant_memory(agent: Forked) -> None:
    size, piece = 256 * 1024 * 1024, bytes(1024 * 1024)
    before = _memory(agent.pid)
    with agent.client() as client:
        body = (piece for _ in range(size // len(piece)))
        assert client.put("/filesystem/content", params={"path": "big"}, content=body).json()["size"] == size
        with client.stream("GET", "/filesystem/download", params={"path": "big"}) as response:
            assert sum(len(data) for data in response.iter_raw()) == size
    assert _memory(agent.pid) - before < 20 * 1024


async def test_a_forward_leads_to_a_service_of_the_emulator(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    agent = Forked(home / "socket", ((port, "egress"),))
    try:
        assert agent.packet()[0] == {"ready": True}
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as inside:
            inside.sendall(b"question")
            inside.shutdown(socket.SHUT_WR)
            message, (descriptor,) = agent.packet()
            assert message == {"connect": "egress"}
            with socket.socket(fileno=descriptor) as outside:
                assert _read_all(outside) == b"question"
                outside.sendall(b"answer")
            assert _read_all(inside) == b"answer"
    finally:
        agent.end()


async def test_a_forward_leads_to_a_unix_socket(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(str(home / "service"))
        service.listen()
        agent = Forked(home / "socket", ((port, str(home / "service")),))
        try:
            assert agent.packet()[0] == {"ready": True}
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as inside:
                outside, _ = service.accept()
                with outside:
                    outside.sendall(b"x" * 3_000_000)
                    outside.shutdown(socket.SHUT_WR)
                    assert len(_read_all(inside)) == 3_000_000
        finally:
            agent.end()


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="Address already in use"):
        listen_inside(taken.getsockname()[1])


async def test_without_a_lifeline_sigterm_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    command = (sys.executable, "-m", "agentrun.emulator.guest", "--socket", str(path))
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "HOME": str(tmp_path)})
    await eventually(lambda: path.exists() and _answers(path))
    process.terminate()
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


@contextlib.asynccontextmanager
async def inside_server(client: httpx.AsyncClient, host: str, port: int) -> AsyncGenerator[None]:
    body = {"argv": ["python3", "-c", SERVER, host, str(port)]}
    pid = (await client.post("/processes", json=body)).json()["processId"]
    for _ in range(500):
        if "up" in (await client.get(f"/processes/{pid}/wait", params={"timeout": 0})).json()["stdout"]:
            break
        await asyncio.sleep(0.01)
    yield
    await client.delete(f"/processes/{pid}")


async def dial(sandbox: Running, line: bytes, data: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(sandbox.socket))
    writer.write(line + data)
    if data:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_port_inside_is_dialled(sandbox: Running, client: httpx.AsyncClient, host: str) -> None:
    try:
        async with inside_server(client, host, 8123):
            assert await dial(sandbox, b"DIAL 8123\n", b"x" * 2_000_000) == b"OK\nreceived 2000000"
    finally:
        assert (await client.get("/health")).status_code == 200


async def test_dialling_byte_by_byte(sandbox: Running, client: httpx.AsyncClient) -> None:
    async with inside_server(client, "127.0.0.1", 8124):
        reader, writer = await asyncio.open_unix_connection(str(sandbox.socket))
        for byte in b"DIAL 8124\nabc":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b"OK\nreceived 3"
        writer.close()


@pytest.mark.parametrize("line", [b"DIAL 9\n", b"DIAL x\n", b"DIAL 70000\n", b"DIAL " + b"1" * 100])
async def test_a_port_that_cannot_be_dialled(sandbox: Running, line: bytes) -> None:
    answer = await dial(sandbox, line)
    assert answer.startswith(b"ERR ")
    assert answer.endswith(b"\n")


def _memory(pid: int) -> int:
    """The most that a process ever had, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _read_all(sock: socket.socket) -> bytes:
    sock.settimeout(PATIENCE)
    return b"".join(iter(lambda: sock.recv(65536), b""))


def _answers(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        return True
    return False
