"""Processes that run an MCP server of the `mcp` package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("program.py")
PATIENCE = 60.0


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


class McpServer:
    """One server over HTTP, which can be stopped and started again at the same place."""

    def __init__(self, folder: Path, kind: str, *options: str) -> None:
        self._kind, self.options, self._port = kind, options, 0
        self._seen = folder / f"seen-{kind}"
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/{'sse' if self._kind == 'sse' else 'mcp'}"

    @property
    def transport(self) -> str:
        return "sse" if self._kind == "sse" else "streamable_http"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), self._kind, str(self._port), *self.options],
            env={**os.environ, "SEEN": str(self._seen)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def seen(self) -> list[str]:
        """What the server noted, a line for each."""
        return self._seen.read_text().splitlines() if self._seen.exists() else []

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The requests that reached it: `method`, and `headers` for those with a message."""
        return [json.loads(line) for line in self.seen if line.startswith("{")]

    def count(self, method: str) -> int:
        """How often a method reached it."""
        return sum(message["method"] == method for message in self.messages)


@contextmanager
def serving(folder: Path, kind: str = "http", *options: str) -> Generator[McpServer, None, None]:
    server = McpServer(folder, kind, *options)
    try:
        yield server
    finally:
        server.stop()
