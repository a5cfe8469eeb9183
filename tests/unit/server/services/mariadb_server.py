"""A MariaDB server of our own, which speaks as MySQL does, on a unix socket in a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pymysql
import pytest


class MariaDBServer:
    def __init__(self) -> None:
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
        server = shutil.which("mariadbd", path=path)
        if server is None:
            pytest.skip("there is no MariaDB; run: sudo apt-get install mariadb-server-core")
        # The path of a socket has to be short, and pytest's folders are not.
        self._folder = tempfile.TemporaryDirectory(prefix="maria-")
        self._options: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0:  # It refuses to run as root.
            self._options |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self._folder.name, "nobody", "nogroup")
        self._socket = str(Path(self._folder.name, "socket"))
        # Without accounts it needs nothing to begin with.
        options = [f"--datadir={self._folder.name}", f"--socket={self._socket}", "--skip-grant-tables"]
        log = Path(self._folder.name, "log")
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                [server, "--no-defaults", "--skip-networking", *options],
                stdout=output,
                stderr=output,
                **self._options,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "MariaDB does not answer"
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(self._socket)
                return bool(client.recv(1))  # It greets first.
            except OSError:
                return False

    def make_database(self, name: str) -> str:
        """The URL of a new database, whose own character set cannot say everything."""
        with pymysql.connect(unix_socket=self._socket, user="root") as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET latin1")
        return f"mysql://root@localhost/{name}?unix_socket={self._socket}"

    def close(self) -> None:
        self._process.kill()  # To end in order it takes half a minute after many databases, which nobody reads again.
        self._process.wait(60)
        self._folder.cleanup()
