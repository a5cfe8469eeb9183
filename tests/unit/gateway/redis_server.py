"""A Redis server of our own, on a unix socket in a folder of its own, which keeps nothing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

PROGRAM = shutil.which("redis-server")


class RedisServer:
    def __init__(self) -> None:
        if PROGRAM is None:
            pytest.skip("there is no redis-server; run: sudo apt-get install redis-server")
        # The path of a socket has to be short, and pytest's folders are not.
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self._socket = Path(self._folder.name, "socket")
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [str(PROGRAM), *options], cwd=self._folder.name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def ends(self) -> dict[str, int]:
        """All keys, and in how many milliseconds each is forgotten; -1 is never."""
        script = (
            "local t={} for _,k in ipairs(redis.call('KEYS','*')) do t[#t+1]=k..' '..redis.call('PTTL',k) end return t"
        )
        command = ["redis-cli", "-s", str(self._socket), "EVAL", script, "0"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
        return {key: int(end) for key, _, end in (line.partition(" ") for line in lines) if end}

    def command(self, *words: str) -> str:
        """What Redis answers to a command."""
        command = ["redis-cli", "-s", str(self._socket), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def empty(self) -> None:
        """Forget everything."""
        subprocess.run(["redis-cli", "-s", str(self._socket), "FLUSHALL"], capture_output=True, check=True)

    def hang(self) -> None:
        """Stay there, and answer nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.unlink(missing_ok=True)

    def close(self) -> None:
        self.stop()
        self._folder.cleanup()
