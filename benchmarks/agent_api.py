"""An agent as an API: streams, requests, slow and absent clients, beside bare FastAPI and AgentScope Runtime."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.import_cost import cost
from benchmarks.peers import python_with
from benchmarks.report import Figure, median

AGENTSCOPE = ("agentscope_runtime", ("agentscope-runtime==1.1.6.post2",))
SERVERS = Path(__file__).parent / "agent_servers.py"
DELTAS = 1000
CLIENTS = 16
ROUNDS = 15
IDLE = 1000
PATIENCE = 30.0
# For a peer that puts everything into memory; ours is given an agent without an end.
MANY = "deltas 50000"
PROTOCOLS = ("/process", "/openai/v1/chat/completions", "/v1/responses", "/ag-ui/agent")
_END = b"0\r\n\r\n"


@dataclass
class Server:
    """A process that serves the agent."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def megabytes(self) -> float:
        """The memory that it uses."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def get(self, path: str) -> Any:
        """What it answers."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())

    def connect(self) -> socket.socket:
        """A connection to it."""
        made = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


@contextmanager
def serving(kind: str, python: Path | str = sys.executable) -> Generator[Server, None, None]:
    """A server, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    began = [python, str(SERVERS), kind, str(port)]
    with subprocess.Popen(began, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": _path(python)}) as process:
        try:
            _wait_until_it_answers(port, process)
            yield Server(port, process)
        finally:
            process.kill()


def _path(python: Path | str) -> str:
    return str(SERVERS.parent.parent) if str(python) == sys.executable else ""


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError("the server has ended before it answered")


def body(path: str, asked: str, *, stream: bool = True) -> dict[str, Any]:
    """What a protocol is asked with."""
    message = {"role": "user", "content": asked}
    if "chat" in path:
        return {"model": "agentrun", "messages": [message], "stream": stream}
    if "responses" in path:
        return {"model": "agentrun", "input": asked, "stream": stream}
    if "ag-ui" in path:
        ids = {"threadId": os.urandom(4).hex(), "runId": "r"}
        return {
            **ids,
            "messages": [{"id": "1", **message}],
            "state": {},
            "tools": [],
            "context": [],
            "forwardedProps": {},
        }
    return {"input": [{"role": "user", "content": [{"type": "text", "text": asked}]}], "stream": stream}


def request(path: str, asked: str, *, stream: bool = True) -> bytes:
    """A whole request."""
    content = json.dumps(body(path, asked, stream=stream)).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
    )
    return head.encode() + b"\r\n\r\n" + content


def ask(connection: socket.socket, message: bytes) -> tuple[float, float, bytes]:
    """Seconds until the first event and until the end, and everything that came."""
    began = time.perf_counter()
    connection.sendall(message)
    first, pieces, tail = 0.0, list[bytes](), b""
    while not tail.endswith(_END):
        piece = connection.recv(1 << 18)
        if not piece:
            raise RuntimeError(f"the server hung up after {b''.join(pieces)[-200:]!r}")
        if not first and b"data:" in piece:
            first = time.perf_counter() - began
        pieces.append(piece)
        tail = (tail + piece)[-len(_END) :]
    return first, time.perf_counter() - began, b"".join(pieces)


@dataclass(frozen=True)
class Streams:
    """What streams of many deltas came to: events a second, and seconds until the first one; both medians."""

    rate: float
    first: float


def streams(server: Server, path: str) -> Streams:
    """One client, one stream after the other."""
    message, rates, firsts = request(path, f"deltas {DELTAS}"), list[float](), list[float]()
    with closing(server.connect()) as connection:
        ask(connection, message)
        for _ in range(ROUNDS):
            first, whole, came = ask(connection, message)
            events = came.count(b"data: ")
            if events < DELTAS:
                raise RuntimeError(f"{path} lost events: {came[-300:]!r}")
            rates.append(events / whole)
            firsts.append(first)
    return Streams(median(rates), median(firsts))


def requests_a_second(server: Server, seconds: float = 3.0) -> float:
    """Whole streams of one delta, by many clients at once; they are processes, so that they get in nobody's way."""
    command = [
        sys.executable,
        "-c",
        "from benchmarks import agent_api; agent_api.client()",
        str(server.port),
        str(seconds),
    ]
    with ThreadPoolExecutor(2) as pool:
        halves = [pool.submit(subprocess.run, command, capture_output=True, check=True) for _ in range(2)]
        return sum(int(half.result().stdout) for half in halves) / seconds


def client() -> None:
    """Half of the clients: each asks again when it was answered. Prints how many answers there were."""
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    message, until = request("/process", "deltas 1"), time.perf_counter() + seconds
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS // 2)]
    count = 0
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(message)
    while time.perf_counter() < until:
        for connection in connections:
            _read_to_the_end(connection)
            connection.sendall(message)
            count += 1
    print(count)


def _read_to_the_end(connection: socket.socket) -> None:
    tail = b""
    while not tail.endswith(_END):
        tail = (tail + connection.recv(1 << 16))[-8:]


def stalled(server: Server, asked: str = "forever") -> tuple[float, float]:
    """MiB by which memory grows for a client that does not read, and pieces a second that the agent still gives."""
    with closing(server.connect()) as connection:
        ask(connection, request("/process", "deltas 10"))
        before = server.megabytes
        connection.sendall(request("/process", asked))
        time.sleep(2)
        given = server.get("/state")["given"]
        time.sleep(2)
        return server.megabytes - before, (server.get("/state")["given"] - given) / 2


def idle(server: Server) -> float:
    """MiB for a thousand streams in which nothing happens."""
    message = request("/process", "wait")
    with ExitStack() as stack:
        first = stack.enter_context(closing(server.connect()))
        first.sendall(message)
        first.recv(1 << 16)
        before = server.megabytes
        for _ in range(IDLE):
            connection = stack.enter_context(closing(server.connect()))
            connection.sendall(message)
            connection.recv(1 << 16)
        return server.megabytes - before


def disconnect(server: Server, *, stream: bool) -> float:
    """Milliseconds until the agent of a client that goes away is cancelled."""
    connection = server.connect()
    connection.sendall(request("/process", "wait", stream=stream))
    time.sleep(0.3)
    left = time.monotonic()
    connection.close()
    while (cancelled := server.get("/state")["cancelled_at"]) < left:
        if time.monotonic() > left + 5:
            return 5000.0
        time.sleep(0.005)
    return float(cancelled - left) * 1000


def blocking_at_once(count: int = 200) -> float:
    """Seconds in which so many agents that block for 0.2 s are done."""
    with serving("blocking") as server, ThreadPoolExecutor(count) as pool:
        message = request("/process", "0.2")

        def one(_: int) -> None:
            with closing(server.connect()) as connection:
                ask(connection, message)

        one(0)
        began = time.perf_counter()
        list(pool.map(one, range(count)))
        return time.perf_counter() - began


def start(kind: str, python: Path | str = sys.executable) -> float:
    """Seconds from the start of a process to its first answer, the median of five."""
    times: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        with serving(kind, python):
            times.append(time.perf_counter() - began)
    return median(times)


def run() -> list[Figure]:
    """The figures."""
    python = python_with(*AGENTSCOPE)
    with ExitStack() as stack:
        ours, bare = stack.enter_context(serving("ours")), stack.enter_context(serving("bare"))
        peer = stack.enter_context(serving("agentscope", python)) if python else None
        figures = [*_speed(ours, bare, peer), *_patience(ours, python)]
    value = blocking_at_once()
    figures.append(Figure("200 blocking agents of 0.2 s at once", value, "s", 1))
    said = f"AgentScope Runtime {start('agentscope', python):.3g} s" if python else ""
    figures.append(
        Figure("start to the first `/health`", start("ours"), "s", 0.6, f"bare {start('bare'):.3g} s, {said}")
    )
    loaded, _ = cost(Path(sys.executable), "from agentrun.server import AgentRunServer")
    app, _ = cost(Path(sys.executable), "from agentrun.server import AgentApp")
    figures.append(Figure("`from agentrun.server import AgentRunServer`", loaded, "ms", 350))
    figures.append(
        Figure("`from agentrun.server import AgentApp`", app, "ms", 350, note="with FastAPI, whose class it is")
    )
    return figures


def _speed(ours: Server, bare: Server, peer: Server | None) -> Iterator[Figure]:
    found = {path: streams(ours, path) for path in PROTOCOLS}
    beside = streams(bare, "/process")
    theirs = streams(peer, "/process") if peer else None
    said = f"bare {beside.rate / 1000:.3g} k/s" + (
        f", AgentScope Runtime {theirs.rate / 1000:.3g} k/s" if theirs else ""
    )
    api = found["/process"]
    yield Figure("1,000 deltas, one client", api.rate / 1000, "k events/s", 60, said, at_least=True)
    said = f"bare {beside.first * 1000:.3g} ms" + (
        f", AgentScope Runtime {theirs.first * 1000:.3g} ms" if theirs else ""
    )
    yield Figure("first byte of a stream", api.first * 1000, "ms", 2, said)
    for path in PROTOCOLS[1:]:
        ratio = found[path].rate / api.rate
        yield Figure(
            f"1,000 deltas by `{path}`",
            found[path].rate / 1000,
            "k events/s",
            0.7 * api.rate / 1000,
            note=f"{ratio:.0%} of the Agent API; first byte {found[path].first * 1000:.3g} ms",
            at_least=True,
        )
    rate, other = requests_a_second(ours), requests_a_second(bare)
    said = f"bare {other:.0f}/s" + (f", AgentScope Runtime {requests_a_second(peer):.0f}/s" if peer else "")
    yield Figure("one delta, 16 clients", rate, "requests/s", 2000, said, at_least=True)


def _patience(ours: Server, python: Path | None) -> Iterator[Figure]:
    for is_stream in (True, False):
        what = "a stream" if is_stream else "an answer in one piece"
        value = median([disconnect(ours, stream=is_stream) for _ in range(5)])
        yield Figure(f"the client of {what} goes: the agent is cancelled after", value, "ms", 100)
    # No peer here: AgentScope Runtime has one anonymous stream at a time and refuses the others.
    yield Figure("1,000 idle streams", idle(ours), "MB", 50)
    grown, given = stalled(ours)
    said = ""
    if python:
        with serving("agentscope", python) as fresh:  # What it used before it would use again.
            said = f"AgentScope Runtime {stalled(fresh, MANY)[0]:.3g} MB for {MANY}"
    yield Figure("a client that does not read", grown, "MB", 5, said, f"the agent gives {given:.0f} pieces a second")
