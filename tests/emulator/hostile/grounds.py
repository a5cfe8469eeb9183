"""Emulators to attack: on every way of running sandboxes that this machine has, each with a small template."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.emulator.inside import Inside
from tests.emulator.signed import Account

ROOT = Path(__file__).resolve().parents[3]
# Nobody has this user id, and it is below those that sandboxes get.
ORDINARY_USER = 61_234
TEMPLATE = "small"
MEMORY = 256
DISK = 64
PATIENCE = 30
# What a service may have open where nobody has raised it; attacks are to show what comes of few.
DESCRIPTORS = 1024
SECRET = "a secret that is nowhere but in the emulator"
# A file of a neighbour, below its home, that holds its id.
PRIVATE = "private.txt"
NAMES = ("process", "ordinary-user", "landlock", "docker")


@dataclass(frozen=True)
class Neighbour(Inside):
    """A sandbox that must not notice anything; it executes in a context, or without one when that is empty."""

    context: str

    def execute(self, code: str) -> httpx.Response:
        """Execute as it always does."""
        body = {"code": code, "timeout": 10, **({"contextId": self.context} if self.context else {})}
        return self.call("POST", "contexts/execute", body)


@dataclass(frozen=True)
class Ground:
    """A running emulator: whose process it is, where it keeps what runs, and an account in it."""

    name: str
    pid: int
    directory: Path
    state: Path
    account: Account

    @property
    def level(self) -> str:
        """The isolation that it gives."""
        return str(self.status["isolation"])

    @property
    def missing(self) -> list[str]:
        """What that lacks."""
        return list(self.status["missing"])

    @property
    def status(self) -> dict[str, Any]:
        """What it says about itself."""
        answer: dict[str, Any] = self.account.client.get("/_emulator/status").json()
        return answer

    @property
    def has_namespaces(self) -> bool:
        """Whether a sandbox has its own processes and network."""
        return self.level not in ("landlock", "none")

    @property
    def forks(self) -> bool:
        """Whether code that is executed once gets a fork of an interpreter; else each time one has to be started."""
        return self.has_namespaces and self.name != "docker"

    @property
    def reuses(self) -> bool:
        """Whether a sandbox takes so long to come that one which is as new serves again."""
        return self.name == "docker"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.account.client.base_url.port or 0

    def sandbox(self, **body: Any) -> Inside:
        """A new sandbox of the small template."""
        content = json.dumps({"templateName": TEMPLATE, **body}).encode()
        answer = self.account.data("POST", "/sandboxes", content)
        assert answer.status_code == 200, answer.text
        return Inside(self.account, answer.json()["data"]["sandboxId"])

    def neighbour(self) -> Neighbour:
        """A sandbox that nobody attacks, with a file and, where interpreters are slow to come, one that stays."""
        made = self.sandbox()
        answer = made.call("POST", "files", {"path": PRIVATE, "content": made.id})
        assert answer.status_code == 200, answer.text
        context = "" if self.forks else made.call("POST", "contexts", {"language": "python"}).json()["id"]
        return Neighbour(made.account, made.id, context)

    def delete(self, inside: Inside) -> None:
        """End a sandbox."""
        answer = self.account.data("DELETE", inside.path)
        assert answer.status_code in (200, 404, 410), answer.text


@contextlib.contextmanager
def ground(name: str, folder: Path) -> Generator[Ground]:
    """An emulator in a process of its own; skips where this machine does not have it."""
    with started(name, folder, f"key-{uuid4().hex}") as (process, told), client_of(told["port"]) as client:
        account = Account(client, told["account"], told["secret"])
        place = Ground(name, process.pid, Path(told["directory"]), folder / "state", account)
        if problem := place.status["problem"]:
            pytest.skip(f"{name}: {problem}")
        yield place


def remove(folder: Path) -> None:
    """Remove a folder, however deep it is: what Python has for it recurses."""
    subprocess.run(["rm", "-rf", str(folder)], check=False, timeout=PATIENCE)


def client_of(port: int) -> httpx.Client:
    """A plain client with patience, which keeps few connections: they would count as descriptors that are left."""
    kept = httpx.Limits(max_connections=None, max_keepalive_connections=4)
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, limits=kept, trust_env=False)


@contextlib.contextmanager
def started(
    name: str, folder: Path, account: str, descriptors: int = DESCRIPTORS
) -> Generator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process of an emulator with so many descriptors, and what it told about itself."""
    arguments = [_backend(name), str(folder), account, SECRET, str(descriptors)]
    process = subprocess.Popen(
        [_interpreter(name), "-m", "tests.emulator.hostile.server", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(name, folder),
        start_new_session=True,
        cwd="/",
        **_user(name, folder),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline() if select.select([process.stdout], [], [], PATIENCE)[0] else ""
        assert line, f"the emulator for {name} did not start"
        yield process, json.loads(line)
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _backend(name: str) -> str:
    if name != "docker":
        return "process"
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("docker: no container engine answers")
    return "docker"


def _is_other_user(name: str) -> bool:
    return name in ("ordinary-user", "landlock") and os.geteuid() == 0


def _interpreter(name: str) -> str:
    if not _is_other_user(name):
        if name == "ordinary-user":
            pytest.skip("ordinary-user: the tests run as one, so the ground `process` is it")
        return sys.executable
    found = _interpreter_for_everybody()
    if found is None:
        pytest.skip(f"{name}: no Python that an ordinary user can execute has what the emulator needs")
    return found


@cache
def _interpreter_for_everybody() -> str | None:
    candidates = dict.fromkeys((sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"))
    for candidate in filter(os.path.exists, candidates):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                [candidate, "-c", "import agentrun.emulator.server, numpy, IPython"],
                env={"PYTHONPATH": _python_path()},
                user=ORDINARY_USER,
                group=ORDINARY_USER,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                timeout=60,
                check=True,
            )
            return candidate
    return None


def _python_path(installed: Path | None = None) -> str:
    packages = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    return os.pathsep.join([*([str(installed)] if installed else []), str(ROOT), *packages])


def _installed(folder: Path) -> Path:
    """The package in a folder of its own, as users have it: without namespaces a checkout around it is out of sight."""
    place = folder / "site-packages"
    if not place.exists():
        shutil.copytree(ROOT / "agentrun", place / "agentrun", ignore=shutil.ignore_patterns("__pycache__"))
    return place


def _environment(name: str, folder: Path) -> dict[str, str]:
    # Without bubblewrap on PATH there are no namespaces.
    path = "/nonexistent" if name == "landlock" else os.environ.get("PATH", os.defpath)
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": path,
        "PYTHONPATH": _python_path(_installed(folder) if name == "landlock" else None),
        "TMPDIR": str(temporary),
        "HOME": str(folder),
        "AGENTRUN_TEST_SECRET": SECRET,
    }


def _user(name: str, folder: Path) -> dict[str, Any]:
    if not _is_other_user(name):
        return {}
    for place in (folder, folder / "tmp"):
        os.chown(place, ORDINARY_USER, ORDINARY_USER)
    return {"user": ORDINARY_USER, "group": ORDINARY_USER, "extra_groups": []}
