"""Real sandboxes for tests of the gateway: made through the API, with servers that run in them."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from agentrun.emulator import Emulator
from tests.emulator import bodies
from tests.emulator.agents import wait_until
from tests.emulator.signed import TEMPLATES, Account, Pairs

HTTP_SERVER = """
import http.server, json, sys, time, urllib.parse

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/redirect":
            return self.answer(302, b"", [("location", urllib.parse.parse_qs(query)["to"][0])])
        if path == "/stream":
            return self.stream()
        if path == "/die":
            return self.connection.close()
        if path == "/gone":
            return self.answer(200, json.dumps(GONE).encode())
        self.echo()

    def echo(self):
        size = int(self.headers.get("content-length", 0))
        body = self.rfile.read(size).decode("latin-1")
        seen = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body}
        self.answer(201, json.dumps(seen).encode(), [("x-inside", "yes"), ("set-cookie", "a=1"), ("set-cookie", "b=2")])

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_PURGE = echo

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.end_headers()
        try:
            for number in range(600):
                self.wfile.write(b"%d\\n" % number)
                time.sleep(0.01)
        except OSError:
            GONE.append(time.time())

    def log_message(self, *args):
        pass

GONE = []
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Server).serve_forever()
"""

WEBSOCKET_SERVER = """
import http, json, sys
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

def talk(connection):
    headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
    connection.send(json.dumps({"path": connection.request.path, "headers": headers}))
    try:
        while True:
            answer(connection, connection.recv())
    except ConnectionClosed:
        pass
    with open("closed", "w") as file:
        file.write(f"{connection.close_code} {connection.close_reason}")

def answer(connection, message):
    if message == "close":
        return connection.close(4321, "as asked")
    if message == "flood":
        for _ in range(4096):
            connection.send(bytes(65536))
    connection.send(message)

def choose(connection, offered):
    return "chat" if "chat" in offered else None

def admit(connection, request):
    if request.path == "/refused":
        return connection.respond(http.HTTPStatus.IM_A_TEAPOT, "no tea here")

options = {"select_subprotocol": choose, "process_request": admit, "max_size": None}
serve(talk, "127.0.0.1", int(sys.argv[1]), **options).serve_forever()
"""


@dataclass(frozen=True)
class Inside:
    """A sandbox and the account that it belongs to."""

    account: Account
    id: str

    @property
    def path(self) -> str:
        """The sandbox on the data plane."""
        return f"/sandboxes/{self.id}"

    def call(self, method: str, below: str, body: Any = None, /, **query: str) -> httpx.Response:
        """Send a request below the sandbox."""
        content = b"" if body is None else json.dumps(body).encode()
        pairs = list(query.items())
        request = self.account.data_request(method, f"{self.path}/{below}", content=content, query=pairs)
        return self.account.client.send(request)

    def run(self, command: str) -> str:
        """The stdout of a command that must succeed."""
        answer = self.call("POST", "processes/cmd", {"command": command})
        assert answer.status_code == 200, answer.text
        result = answer.json()["result"]
        assert result["exitCode"] == 0, result
        stdout: str = result["stdout"]
        return stdout

    def serve(self, program: str, port: int) -> None:
        """Start a Python program that listens on a port, and wait until it does."""
        name = f"server{port}.py"
        answer = self.call("POST", "files", {"path": name, "content": program})
        assert answer.status_code == 200, answer.text
        self.run(f"setsid nohup python3 {name} {port} >{name}.log 2>&1 </dev/null &")
        probe = f"until (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.02; done"
        self.run(f"timeout 10 bash -c '{probe}' || (cat {name}.log; false)")

    def websocket(
        self,
        below: str,
        *,
        query: Pairs = (),
        origin: str | None = None,
        subprotocols: Sequence[str] = (),
        max_size: int | None = 2**20,
    ) -> ClientConnection:
        """Open a signed websocket below the sandbox."""
        request = self.account.data_request("GET", f"{self.path}/{below}", query=query)
        return connect(
            str(request.url.copy_with(scheme="ws")),
            additional_headers={name: value for name, value in request.headers.items() if name != "host"},
            origin=Origin(origin) if origin else None,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            max_size=max_size,
            compression=None,
            proxy=None,
        )


def new_sandbox(account: Account) -> Inside:
    """A sandbox of the account's own template."""
    account.call("POST", TEMPLATES, bodies.template())
    wait_until(lambda: account.done("GET", f"{TEMPLATES}/python")["status"] == "READY")
    answer = account.data("POST", "/sandboxes", json.dumps({"templateName": "python"}).encode())
    assert answer.status_code == 200, answer.text
    return Inside(account, answer.json()["data"]["sandboxId"])


@contextmanager
def sandbox_of(account: Account) -> Generator[Inside]:
    """A sandbox for as long as a `with` block lasts."""
    inside = new_sandbox(account)
    yield inside
    account.data("DELETE", inside.path)


def journalled(emulator: Emulator, inside: Inside, below: str) -> list[tuple[int, float, tuple[str, ...]]]:
    """Status, duration in milliseconds and remarks of what was noted for a path of a sandbox."""
    entries = emulator.journal.entries()
    wanted = f"{inside.path}/{below}"
    return [(entry.status, entry.duration_ms, entry.remarks) for entry in entries if entry.path == wanted]
