"""Small agents that tests upload: standard library only, so that they start at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.emulator import bodies
from tests.emulator.signed import RUNTIMES, Account

AGENT = """
import http.server, json, os, sys, time

class Agent(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/crash":
            os._exit(3)
        if self.path == "/health":
            return self.answer(200 if os.path.exists("main.py") else 500, {})
        if self.path == "/environment":
            return self.answer(200, dict(os.environ))
        if self.path == "/stream":
            return self.stream()
        if self.path == "/gone":
            return self.answer(200, {"gone": GONE})
        self.answer(200, {"path": self.path, "version": VERSION, "pid": os.getpid()})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.answer(201, {"size": len(body), "path": self.path, "headers": dict(self.headers)})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-agent", "here")
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        try:
            for number in range(600):
                self.wfile.write(f"data: {number} {time.time()}\\n\\n".encode())
                time.sleep(0.01)
        except OSError:
            GONE.append(time.time())
        self.close_connection = True

    def log_message(self, *args):
        pass

GONE = []
VERSION = "%s"
print("serving", VERSION, flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Agent).serve_forever()
"""


def agent(version: str = "1") -> bytes:
    """The package of an agent that tells its version."""
    return bodies.zipped({"main.py": AGENT % version})


def wait_until(check: Callable[[], Any], seconds: float = 15.0) -> Any:
    """What `check` gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def settled(account: Account, path: str) -> dict[str, Any]:
    """A runtime once nothing is under way any more."""

    def look() -> dict[str, Any] | None:
        shown: dict[str, Any] = account.done("GET", path)
        return shown if not shown["status"].endswith("ING") else None

    found: dict[str, Any] = wait_until(look)
    return found


def deployed(account: Account, name: str = "agent", **changes: Any) -> str:
    """A runtime that was created and came to an end of its start; returns its path."""
    made = account.done("POST", RUNTIMES, {**bodies.runtime(name, agent()), **changes})
    path = f"{RUNTIMES}/{made['agentRuntimeId']}"
    settled(account, path)
    return path
