"""A PostgreSQL server of our own, on a unix socket in a folder of its own, which ends with the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest


def program(name: str) -> str | None:
    """A program of the newest PostgreSQL that is installed; Debian has them off the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]))


class PostgreSQLServer:
    def __init__(self) -> None:
        initdb, postgres = program("initdb"), program("postgres")
        if initdb is None or postgres is None:
            pytest.skip("there is no PostgreSQL; run: sudo apt-get install postgresql")
        # The path of a socket has to be short, and pytest's folders are not.
        self._folder = tempfile.TemporaryDirectory(prefix="pg-")
        self._program = postgres
        # It refuses to run as root; Debian's package brings the user.
        self._options: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL}
        self.user = getpass.getuser()
        if os.geteuid() == 0:
            self.user = "postgres"
            self._options |= {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self._folder.name, "postgres", "postgres")
        self._data = str(Path(self._folder.name, "data"))
        # Neither waits for a disk, nor orders texts by their code points as a database of today would not.
        settings = ["--no-sync", "--auth=trust", "--username", self.user, "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run([initdb, "-D", self._data, *settings], check=True, capture_output=True, **self._options)
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}@/postgres?host={self._folder.name}"

    def start(self) -> None:
        settings = ["listen_addresses=", f"unix_socket_directories={self._folder.name}", "fsync=off"]
        options = [part for setting in settings for part in ("-c", setting)]
        with open(Path(self._folder.name, "log"), "ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-D", self._data, *options], stdout=log, stderr=log, **self._options
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, Path(self._folder.name, "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # It disconnects everybody and ends in order.
        self._process.wait(60)

    def close(self) -> None:
        if self._process.poll() is None:
            self.stop()
        self._folder.cleanup()
