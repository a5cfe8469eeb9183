"""Code that turns on what serves it: the line it is controlled by, the agent, its socket, its terminals and watches."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import pytest
from websockets.exceptions import WebSocketException

from tests.emulator.hostile.arena import Arena, whatever_the_walls

# Finds the control socket and takes over what goes through it.
TAKE_OVER = """
import os, socket, stat
def control():
    for name in sorted(os.listdir('/proc/self/fd'), key=int):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode): return socket.socket(fileno=os.dup(int(name)))
        except OSError: pass
line = control()
"""

WAITING = "import time\ntime.sleep(30)"

LIES = {
    "garbage": "line.sendall(os.urandom(100_000) + b'\\n')",
    "a million empty lines": "line.sendall(b'\\n' * 1_000_000)",
    "not an object": "line.sendall(b'[1, 2, 3]\\n')",
    "nothing it knows": "line.sendall(b'{}\\n{\"x\": 1}\\n')",
    "wrong types": 'line.sendall(b\'{"result": 5, "error": [1]}\\n\')',
    "wrong types inside": 'line.sendall(b\'{"result": {"text/plain": {"a": [1]}}, "error": {"name": 1}}\\n\')',
    "deep": "line.sendall(b'[' * 1_000_000 + b'\\n')",
    "deep display": "line.sendall(b'{\"display\": ' + b'[' * 900 + b']' * 900 + b'}\\n')",
    "a number without end": "line.sendall(b'{\"display\": {\"text/plain\": ' + b'9' * 8_000_000 + b'}}\\n')",
    "a line without end": "for _ in range(500): line.sendall(bytes(1_000_000))",
    "lines of sixteen megabytes": (
        "data = b'{\"display\": {\"application/json\": [' + b'[],' * 5_000_000 + b'[]]}}\\n'\n"
        "for _ in range(8): line.sendall(data)"
    ),
    "displays without end": (
        'data = b\'{"display": {"text/plain": "x"}}\\n\' * 10_000\nfor _ in range(100): line.sendall(data)'
    ),
    "not Unicode": 'line.sendall(b\'{"display": {"text/plain": "\\xff\\xfe"}}\\n\')',
    "lone surrogates": 'line.sendall(b\'{"display": {"text/plain": "\\\\ud800"}}\\n\')',
    "not a number": 'line.sendall(b\'{"display": {"application/json": [NaN, Infinity, 1e999]}}\\n\')',
    "two answers": 'line.sendall(b\'{"result": null, "error": null}\\n\' * 1000)',
    "a clone nobody asked for": 'line.sendall(b\'{"forked": 1}\\n{"forked": -1}\\n\')',
    "descriptors": "socket.send_fds(line, [b'{\"display\": {}}\\n'], [0] * 200)\n"
    "socket.send_fds(line, [b'\\n'], [1] * 200)",
    "hang up and stay": "line.shutdown(2)\nos.closerange(3, 1000)\n" + WAITING,
    "never reads": WAITING,
}


@whatever_the_walls
@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("kind", ["stateless", "context"])
def test_a_lying_interpreter(arena: Arena, name: str, kind: str) -> None:
    context = None
    if kind == "context":
        made = arena.request("POST", "contexts", {"language": "python", "cwd": "/home/user"})
        assert made.status_code == 200, made.text
        context = made.json()["id"]
    began = time.monotonic()
    timeout = 1 if LIES[name].endswith(WAITING) else 3
    body = {"code": TAKE_OVER + LIES[name], "timeout": timeout, **({"contextId": context} if context else {})}
    answer = arena.request("POST", "contexts/execute", body)
    assert time.monotonic() - began < 8
    assert answer.status_code in (200, 410), answer.text[:300]
    assert len(answer.content) < 128 * 2**20
    json.loads(answer.content)
    assert arena.still_works()


def test_a_clone_lies_about_its_process(arena: Arena) -> None:
    """Who tells that his clone is process 1, or one that is not there, gets neither its output nor it killed."""
    made = arena.request("POST", "contexts", {"language": "python", "cwd": "/home/user"}).json()["id"]
    code = """
import threading
def lie():
    while True:
        data = line.recv(65536)
        if b'fork' in data: line.sendall(b'{"forked": 1}\\n')
        elif not data: break
"""
    arena.python(TAKE_OVER + code + "threading.Thread(target=lie, daemon=True).start()", 3, made)
    answer = arena.request("POST", f"contexts/{made}/fork", {"count": 1})
    assert answer.status_code < 600
    assert arena.still_works()


def test_the_agent_s_port_is_not_inside(arena: Arena) -> None:
    """Code finds nothing that listens but the two ways out."""
    if not arena.ground.has_namespaces:
        pytest.skip("without namespaces the network is the host's, and closed")
    said = arena.python("print(open('/proc/net/tcp').read() + open('/proc/net/tcp6').read())").said
    listening = {int(line.split()[1].rpartition(":")[2], 16) for line in said.splitlines() if " 0A " in line}
    assert listening <= {3128, arena.ground.port}, listening


def test_the_agent_survives_what_it_is_sent(arena: Arena) -> None:
    arena.command("rm -rf /home/user /tmp /dev/shm /run/agentrun ~/.. ~; rm -rf ~/* ~/.[a-z]*", timeout=5)
    assert arena.request("GET", "health").status_code == 200
    assert arena.python("1 + 1").status == 200


@whatever_the_walls
def test_terminals_that_nobody_reads(arena: Arena) -> None:
    """A client that stalls holds up its own terminal and nobody else, and takes no memory."""
    query = [("command", "yes flood"), ("protocol", "text")]
    stalled = [arena.attacker.websocket("processes/tty", query=query) for _ in range(8)]
    time.sleep(0.7)
    assert arena.still_works()
    for connection in stalled:
        with contextlib.suppress(WebSocketException, OSError, TimeoutError):
            connection.close_timeout = 0.05
            connection.close()


@whatever_the_walls
def test_frames_of_a_hundred_megabytes(arena: Arena) -> None:
    def send_and_read() -> None:
        with arena.attacker.websocket("processes/tty", query=[("protocol", "text")]) as connection:
            connection.send("x" * 100_000_000)
            while True:
                connection.recv(timeout=5)

    with pytest.raises((WebSocketException, OSError)):
        send_and_read()
    assert arena.still_works()


@whatever_the_walls
def test_a_flood_of_changes_to_a_watcher_that_stalls(arena: Arena) -> None:
    account = arena.ground.account
    path = f"{arena.attacker.path}/filesystem/watch"
    request = account.data_request("GET", path, query=[("path", "/home/user"), ("recursive", "true")])
    answer = account.client.send(request, stream=True)
    try:
        assert answer.status_code == 200
        code = """
import os
for number in range(30_000):
    name = f'file{number % 50}'
    open(name, 'w').close()
    os.rename(name, 'other')
"""
        assert arena.python(code, timeout=12).ending == "ok"
        assert arena.still_works()
    finally:
        answer.close()


@whatever_the_walls
def test_watching_a_folder_that_grows_and_moves(arena: Arena) -> None:
    account = arena.ground.account
    path = f"{arena.attacker.path}/filesystem/watch"
    arena.command("mkdir -p /tmp/w; ln -s / /tmp/w/root; ln -s . /tmp/w/self")
    request = account.data_request("GET", path, query=[("path", "/tmp/w"), ("recursive", "true")])
    answer = account.client.send(request, stream=True)
    try:
        code = "import os\npath = '/tmp/w'\nfor _ in range(900):\n  path += '/d'\n  os.mkdir(path)"
        arena.python(code, timeout=10)
        arena.command("cd /tmp; for i in 1 2 3; do mv w x; mkdir w; mv x w/x; done; rm -rf w")
        assert arena.still_works()
    finally:
        answer.close()


@whatever_the_walls
def test_requests_that_never_end(arena: Arena) -> None:
    """Half requests, to the emulator itself, do not keep others out."""
    address = ("127.0.0.1", arena.ground.port)
    kept: list[socket.socket] = []
    try:
        for _ in range(300):
            connection = socket.create_connection(address, 5)
            connection.sendall(b"POST /sandboxes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{")
            kept.append(connection)
        head = socket.create_connection(address, 5)
        kept.append(head)
        with contextlib.suppress(OSError):
            for _ in range(2000):
                head.sendall(b"X-Long: " + b"x" * 1000 + b"\r\n" if _ else b"GET / HTTP/1.1\r\n")
        assert arena.still_works()
    finally:
        for connection in kept:
            connection.close()


@whatever_the_walls
def test_many_executions_at_once(arena: Arena) -> None:
    """More than a sandbox may run: the rest is refused or waits, and the neighbour does not wait with them."""
    statuses: list[int] = []

    def execute() -> None:
        answer = arena.request("POST", "contexts/execute", {"code": "import time; time.sleep(0.5)", "timeout": 5})
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=execute) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(statuses) == 100
    assert all(status in (200, 429, 503) for status in statuses), statuses
