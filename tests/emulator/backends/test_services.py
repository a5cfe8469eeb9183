from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median

import httpx
import pytest

from agentrun.emulator.backends import pick
from agentrun.emulator.backends.base import Backend, BackendError, HealthCheck, Running, ServiceSpec
from agentrun.emulator.backends.process import ProcessBackend
from agentrun.emulator.backends.supervisor import State, Supervised
from tests.emulator.backends.conftest import client_of, eventually, host_processes

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404 if self.path == "/missing" else 200)
        self.end_headers()
        self.wfile.write(b"hello")
print("serving", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
"""

STREAM = """
import asyncio, time
async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\nConnection: close\\r\\n\\r\\n")
    left = asyncio.ensure_future(reader.read())
    for number in range(1000):
        writer.write(f"data: {number} {time.time()}\\n\\n".encode())
        done, _ = await asyncio.wait([left], timeout=0.05)
        if done:
            print("left", time.time(), flush=True)
            break
    writer.close()
async def main():
    await (await asyncio.start_server(serve, "127.0.0.1", 9000)).serve_forever()
asyncio.run(main())
"""


def write_code(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(text)
    return folder


def spec_of(
    folder: Path, health: HealthCheck | None = None, command: tuple[str, ...] = ("python3", "main.py")
) -> ServiceSpec:
    return ServiceSpec("svc", folder, command, 9000, {"NAME": "value"}, health or HealthCheck())


@asynccontextmanager
async def serving(backend: Backend, spec: ServiceSpec) -> AsyncGenerator[Running]:
    running = await backend.start_service(spec)
    try:
        await running.wait_ready()
        yield running
    finally:
        await running.stop()


async def failure_of(backend: Backend, spec: ServiceSpec) -> str:
    running = await backend.start_service(spec)
    with pytest.raises(BackendError) as caught:
        await running.wait_ready()
    await running.stop()
    return str(caught.value)


async def test_a_service_answers(backend: Backend, tmp_path: Path) -> None:
    async with serving(backend, spec_of(write_code(tmp_path / "c", HELLO))) as running, client_of(running) as client:
        assert (await client.get("/")).text == "hello"
        assert running.logs(1)[0].startswith("127.0.0.1") or "serving" in running.logs()


async def test_the_package_is_importable_and_the_folder_is_a_private_copy(backend: Backend, tmp_path: Path) -> None:
    probe = "import agentrun.emulator.guest, os; print('at', os.getcwd(), os.environ['NAME'])\nopen('made', 'w')\n"
    folder = write_code(tmp_path / "c", probe + HELLO)
    async with serving(backend, spec_of(folder)) as running:
        assert "at /code value" in running.logs()
    assert [path.name for path in folder.iterdir()] == ["main.py"]


async def test_the_readiness_check_does_not_connect(backend: Backend, tmp_path: Path) -> None:
    count = """
import socket
server = socket.create_server(("127.0.0.1", 9000))
server.settimeout(0.3)
try: print("connection", server.accept(), flush=True)
except TimeoutError: print("none", flush=True)
import time; time.sleep(60)
"""
    async with serving(backend, spec_of(write_code(tmp_path / "c", count))) as running:
        await eventually(running.logs)
        assert running.logs() == ["none"]


async def test_a_service_may_listen_on_ipv6_only(backend: Backend, tmp_path: Path) -> None:
    ipv6 = "import http.server, socket\nhttp.server.ThreadingHTTPServer.address_family = socket.AF_INET6\n"
    code = write_code(tmp_path / "c", ipv6 + HELLO.replace("0.0.0.0", "::1"))
    async with serving(backend, spec_of(code)) as running, client_of(running) as client:
        assert (await client.get("/")).text == "hello"


async def test_an_exit_before_readiness_is_explained(backend: Backend, tmp_path: Path) -> None:
    text = await failure_of(backend, spec_of(write_code(tmp_path / "c", "import nosuchmodule")))
    assert "exited with code 1 before listening on port 9000" in text
    assert "No module named 'nosuchmodule'" in text


async def test_silence_is_explained(backend: Backend, tmp_path: Path) -> None:
    code = write_code(tmp_path / "c", "print('busy', flush=True)\nimport time; time.sleep(60)")
    text = await failure_of(backend, spec_of(code, HealthCheck(start_timeout=0.5)))
    assert "did not listen on port 9000 within 0.5 s" in text
    assert "busy" in text


async def test_an_unhealthy_service_is_explained(backend: Backend, tmp_path: Path) -> None:
    code = write_code(tmp_path / "c", HELLO)
    text = await failure_of(backend, spec_of(code, HealthCheck(path="/missing", start_timeout=0.5)))
    assert "/missing" in text
    async with serving(backend, spec_of(code, HealthCheck(path="/healthy"))):
        pass


async def test_an_unknown_program_is_explained(backend: Backend, tmp_path: Path) -> None:
    text = await failure_of(backend, spec_of(write_code(tmp_path / "c", ""), command=("nosuchprogram",)))
    assert "cannot run 'nosuchprogram'" in text
    assert "127" in text


async def test_reserved_port_and_missing_folder_are_refused(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="3128"):
        await backend.start_service(ServiceSpec("s", tmp_path, ["true"], 3128))
    with pytest.raises(BackendError, match="does not exist"):
        await backend.start_service(ServiceSpec("s", tmp_path / "no", ["true"], 9000))


async def test_two_services_have_the_same_port(backend: Backend, tmp_path: Path) -> None:
    spec = spec_of(write_code(tmp_path / "c", HELLO))
    async with serving(backend, spec) as one, serving(backend, spec) as two:
        assert one.socket != two.socket
        for running in (one, two):
            async with client_of(running) as client:
                assert (await client.get("/")).status_code == 200


async def test_events_arrive_as_they_are_produced(backend: Backend, tmp_path: Path) -> None:
    async with serving(backend, spec_of(write_code(tmp_path / "c", STREAM))) as running, client_of(running) as client:
        delays: list[float] = []
        async with client.stream("GET", "/") as response:
            async for line in response.aiter_lines():
                if line:
                    delays.append(time.time() - float(line.split()[2]))
                if len(delays) == 10:
                    break
        # Less than the pause between two events; a busy machine is late with some, but what collects them is with most.
        assert median(delays) < 0.04


async def test_a_disconnect_reaches_the_service_at_once(backend: Backend, tmp_path: Path) -> None:
    async with serving(backend, spec_of(write_code(tmp_path / "c", STREAM))) as running:
        async with client_of(running) as client, client.stream("GET", "/") as response:
            await response.aiter_raw().__anext__()
        left = time.time()
        await eventually(running.logs, seconds=1)
        word, moment = running.logs()[0].split()
        assert word == "left"
        assert float(moment) - left < 0.1


async def test_large_bodies_pass_in_both_directions(backend: Backend, tmp_path: Path) -> None:
    echo = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200); self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Handler).serve_forever()
"""
    body = bytes(range(256)) * 40_000
    async with serving(backend, spec_of(write_code(tmp_path / "c", echo))) as running, client_of(running) as client:
        answers = await asyncio.gather(*(client.post("/", content=body) for _ in range(4)))
        assert all(answer.content == body for answer in answers)


async def test_stop_lets_the_program_finish_but_not_for_ever(backend: Backend, tmp_path: Path) -> None:
    polite = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), exit(0)))\n"
    running = await backend.start_service(spec_of(write_code(tmp_path / "a", polite + HELLO)))
    await running.wait_ready()
    await running.stop()
    assert "bye" in running.logs()
    assert await running.wait_ended() == 0
    stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    running = await backend.start_service(spec_of(write_code(tmp_path / "b", stubborn + HELLO)))
    await running.wait_ready()
    began = time.monotonic()
    await running.stop()
    assert time.monotonic() - began < 4


async def test_logs_are_bounded_and_long_lines_are_cut(backend: Backend, tmp_path: Path) -> None:
    noisy = "print('y' * 100_000)\nfor number in range(12_000): print('line', number)\nprint('unfinished', end='')"
    running = await backend.start_service(spec_of(write_code(tmp_path / "c", noisy)))
    assert await running.wait_ended() == 0
    lines = running.logs()
    assert len(lines) == 10_000
    assert running.logs(2) == ["line 11999", "unfinished"]
    running = await backend.start_service(spec_of(write_code(tmp_path / "d", "print('y' * 100_000)")))
    await running.wait_ended()
    assert running.logs()[0].endswith("[line cut]")
    assert len(running.logs()[0]) < 20_000


async def test_the_emulator_is_reached_at_its_own_address(tmp_path: Path, run_directory: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nemulator")
        writer.close()

    folder = run_directory.parent / "e"
    folder.mkdir()
    server = await asyncio.start_unix_server(answer, str(folder / "sock"))
    (folder / "sock").chmod(0o666)
    backend = await pick(run_directory=run_directory.parent / "r2", emulator_socket=folder / "sock", emulator_port=7001)
    ask = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:7001/').read(), flush=True)\n"
    async with serving(backend, spec_of(write_code(tmp_path / "c", ask + HELLO))) as running:
        assert "b'emulator'" in running.logs()
    await backend.close()
    server.close()


async def test_a_crashing_service_is_restarted_and_its_logs_span_restarts(backend: Backend, tmp_path: Path) -> None:
    crash = "import os, threading\nthreading.Timer(0.3, os._exit, (9,)).start()\n" + HELLO
    spec = spec_of(write_code(tmp_path / "c", crash))
    supervised = Supervised(lambda: backend.start_service(spec), first_pause=0.05)
    await supervised.wait_ready()
    first = supervised.current
    assert supervised.state is State.READY
    await eventually(lambda: supervised.restarts)
    await supervised.wait_ready()
    assert supervised.current is not first
    assert "exit code 9" in (supervised.reason or "")
    assert supervised.logs().count("serving") == 2
    await supervised.stop()
    assert supervised.current is None
    assert host_processes(str(first.socket.parent) if first else "") == []


async def test_a_service_that_fails_its_health_check_is_restarted(backend: Backend, tmp_path: Path) -> None:
    sick = HELLO.replace('self.path == "/missing"', "time.time() > start + 0.5")
    spec = spec_of(
        write_code(tmp_path / "c", "import time\nstart = time.time()\n" + sick),
        HealthCheck("/health", period=0.1, failure_threshold=2),
    )
    supervised = Supervised(lambda: backend.start_service(spec), first_pause=0.05)
    await supervised.wait_ready()
    first = supervised.current
    await eventually(lambda: supervised.restarts)
    assert "failed its health check /health 2 times in a row" in (supervised.reason or "")
    await supervised.wait_ready()
    assert supervised.current is not first
    await supervised.stop()


async def test_pauses_between_restarts_grow(backend: Backend, tmp_path: Path) -> None:
    begun: list[float] = []

    async def start() -> Running:
        begun.append(time.monotonic())
        return await backend.start_service(spec_of(write_code(tmp_path / "c", "exit(3)")))

    supervised = Supervised(start, first_pause=0.1)
    with pytest.raises(BackendError, match="exited with code 3"):
        await supervised.wait_ready()
    await eventually(lambda: len(begun) >= 4)
    await supervised.stop()
    pauses = [later - earlier for earlier, later in pairwise(begun)]
    assert pauses[1] > pauses[0] + 0.05
    assert pauses[2] > pauses[1] + 0.1


async def test_unconfined_processes_say_so_and_leave_nothing(tmp_path: Path, run_directory: Path) -> None:
    backend = ProcessBackend(
        run_directory=run_directory.parent / "u", emulator_socket=None, emulator_port=7000, confined=False
    )
    await backend.start()
    code = write_code(tmp_path / "c", "import os; os.system('setsid sleep 45678 &')\n" + HELLO.replace("9000", "9731"))
    running = await backend.start_service(ServiceSpec("u", code, ["python3", "main.py"], 9731))
    await running.wait_ready()
    assert running.isolation.level == "none"
    assert "namespaces" in running.isolation.missing
    async with client_of(running) as client:
        assert (await client.get("/")).text == "hello"
    assert len(host_processes("sleep\x0045678")) == 1
    await backend.close()
    assert host_processes("sleep\x0045678") == []


async def test_leftovers_of_a_killed_emulator_are_swept(run_directory: Path) -> None:
    leftover, own = run_directory.parent / "r3" / "4194304-1", run_directory.parent / "r3" / f"{os.getpid()}-99"
    for folder in (leftover, own):
        (folder / "home").mkdir(parents=True)
    backend = await pick(run_directory=leftover.parent, emulator_socket=None, emulator_port=7000)
    assert not leftover.exists()
    assert own.exists()
    await backend.close()


async def test_the_transport_errors_before_readiness(backend: Backend, tmp_path: Path) -> None:
    running = await backend.start_service(spec_of(write_code(tmp_path / "c", "import time; time.sleep(60)")))
    async with client_of(running) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/")
    await running.stop()
