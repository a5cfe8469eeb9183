"""The state survives the death of the emulator at any moment, and what ran in it dies with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from agentrun._core.local import ACCESS_KEY_SECRET
from agentrun.emulator import Emulator
from tests.emulator import bodies
from tests.emulator.signed import CREDENTIALS, RUNTIMES, Account

ROUNDS = 50
LONGEST_LIFE = 0.06
SERVER = """
import http.server, subprocess, sys
subprocess.Popen(["sleep", "1000"])
http.server.ThreadingHTTPServer(("127.0.0.1", 9000), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def serve(state: Path, temporary: Path, tell: Connection) -> None:
    """The life of an emulator in a process of its own, which ends only by being killed."""
    tempfile.tempdir = str(temporary)
    with Emulator(state=state) as emulator:
        tell.send(emulator.port)
        threading.Event().wait()


@dataclass
class Model:
    """What the emulator acknowledged, and the one change whose answer never came."""

    known: dict[str, str] = field(default_factory=dict[str, str])
    perhaps: dict[str, str] | None = None
    writes: int = 0

    def write(self, account: Account, chance: random.Random) -> None:
        """One random change."""
        name = chance.choice(sorted(self.known)) if self.known and chance.random() < 0.6 else uuid4().hex
        text = chance.randbytes(chance.choice((10, 1000, 20_000))).hex()
        remove = name in self.known and (len(self.known) > 60 or chance.random() < 0.4)
        self.perhaps = {key: value for key, value in self.known.items() if not (remove and key == name)}
        if remove:
            account.done("DELETE", f"{CREDENTIALS}/{name}")
        else:
            self.perhaps[name] = text
            if name in self.known:
                account.done("PUT", f"{CREDENTIALS}/{name}", {"description": text})
            else:
                account.done("POST", CREDENTIALS, bodies.credential(name, description=text))
        self.known, self.perhaps, self.writes = self.perhaps, None, self.writes + 1

    def compare(self, account: Account) -> None:
        """Nothing that was acknowledged is lost, nothing that was not asked for is there."""
        found: dict[str, str] = {}
        for number in range(1, 100):
            page = account.done("GET", CREDENTIALS, pageSize="100", pageNumber=str(number))
            found |= {item["credentialName"]: item["description"] for item in page["items"]}
            if len(found) == page["total"]:
                break
        assert found in (self.known, self.perhaps if self.perhaps is not None else self.known)
        self.known, self.perhaps = found, None
        for name in sorted(found)[:2]:
            assert account.done("GET", f"{CREDENTIALS}/{name}")["credentialSecret"] == bodies.SECRET


@pytest.fixture(scope="module")
def folders() -> Iterator[tuple[Path, Path]]:
    """A state, and a place for what dead emulators leave; short, as unix sockets need it."""
    root = Path(tempfile.mkdtemp(prefix="ar"))
    (root / "tmp").mkdir()
    yield root / "state", root / "tmp"
    shutil.rmtree(root)


@contextlib.contextmanager
def living(folders: tuple[Path, Path]) -> Generator[tuple[Account, int]]:
    """A running emulator and its process; it is killed at the end of the block."""
    context = multiprocessing.get_context("forkserver")
    # Importing takes most of a start, so the processes fork from one that has done it.
    context.set_forkserver_preload(["agentrun.emulator.server", "uvicorn.protocols.http.httptools_impl", __name__])
    hear, tell = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(*folders, tell), daemon=True)
    process.start()
    tell.close()
    try:
        assert hear.poll(20), "the emulator did not start"
        with httpx.Client(base_url=f"http://127.0.0.1:{hear.recv()}", trust_env=False) as client:
            yield Account(client, "mine", ACCESS_KEY_SECRET), process.pid or 0
    finally:
        hear.close()
        process.kill()
        process.join()
        process.close()


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_nothing_acknowledged_is_lost(folders: tuple[Path, Path]) -> None:
    chance, model = random.Random(5), Model()
    for _ in range(ROUNDS):
        with living(folders) as (account, pid):
            model.compare(account)
            timer = threading.Timer(chance.uniform(0, LONGEST_LIFE), os.kill, (pid, signal.SIGKILL))
            timer.start()
            with contextlib.suppress(httpx.TransportError):
                while True:
                    model.write(account, chance)
            timer.join()
    with living(folders) as (account, _):
        model.compare(account)
    assert model.writes > ROUNDS


def test_agents_die_with_the_emulator(folders: tuple[Path, Path]) -> None:
    with living(folders) as (account, pid):
        body = bodies.runtime(f"agent-{uuid4().hex}", bodies.zipped({"main.py": SERVER}))
        runtime = account.done("POST", RUNTIMES, body)["agentRuntimeId"]
        deadline = time.monotonic() + 20
        while (shown := account.done("GET", f"{RUNTIMES}/{runtime}"))["status"] == "CREATING":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert shown["status"] == "READY", shown
        began = descendants(pid)
        assert any("sleep" in process.name() for process in began)
        os.kill(pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(began, timeout=5)
        assert alive == []
    with living(folders) as (account, pid):
        assert account.done("GET", f"{RUNTIMES}/{runtime}")["status"] == "READY"
        assert (
            account.data(
                "GET", f"/agent-runtimes/{body['agentRuntimeName']}/endpoints/Default/invocations/main.py"
            ).text
            == SERVER
        )


def test_a_restart_finishes_what_was_coming_up(folders: tuple[Path, Path]) -> None:
    with living(folders) as (account, _):
        body = bodies.runtime(f"slow-{uuid4().hex}")
        runtime = account.done("POST", RUNTIMES, body)["agentRuntimeId"]
        assert account.done("GET", f"{RUNTIMES}/{runtime}")["status"] == "CREATING"
    with living(folders) as (account, _):
        assert account.done("GET", f"{RUNTIMES}/{runtime}")["status"] == "READY"
        account.done("DELETE", f"{RUNTIMES}/{runtime}")
