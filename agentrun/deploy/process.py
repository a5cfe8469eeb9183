"""An application in a process of its own, which goes on when the one that started it ends."""

from __future__ import annotations

import http
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from agentrun._core.run_directory import birth_of, run_directory
from agentrun.errors import DeploymentError

_POLL_SECONDS = 0.02
_HEALTH_SECONDS = 5.0
_LAST_LINES = 12


@dataclass(frozen=True)
class DetachedProcess:
    """A process that serves; `birth` tells it from a later one with the same id."""

    deploy_id: str
    pid: int
    birth: str | None
    url: str
    source: str

    @property
    def log(self) -> Path:
        """What the process writes."""
        return _file(self.deploy_id, "log")

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.birth is not None and birth_of(self.pid) == self.birth

    @classmethod
    def start(
        cls, deploy_id: str, source: str, address: tuple[str, int], environment: Mapping[str, str], timeout: float
    ) -> DetachedProcess:
        """Start one and return when it answers; raises DeploymentError when it does not within the time in seconds."""
        port_file = _file(deploy_id, "port")
        host, port = address
        command = [sys.executable, "-m", "agentrun.deploy", source, host, str(port), str(port_file)]
        with os.fdopen(os.open(_file(deploy_id, "log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        try:
            url = _answering(process, deploy_id, host, port_file, timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        threading.Thread(target=process.wait, daemon=True).start()  # It may end before this process does.
        started = cls(deploy_id, process.pid, birth_of(process.pid), url, source)
        _file(deploy_id, "json").write_text(json.dumps(asdict(started)))
        return started

    @classmethod
    def find(cls, deploy_id: str) -> DetachedProcess | None:
        """One that was started before, by whomever of this user; None when there is none that runs."""
        if not deploy_id.isalnum():
            return None
        try:
            found = cls(**json.loads(_file(deploy_id, "json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.is_alive else None

    def stop(self, timeout: float) -> bool:
        """End it, when its answers are finished; what takes longer than the time in seconds is cut off."""
        deadline = time.monotonic() + timeout
        os.kill(self.pid, signal.SIGTERM)
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if self.is_alive:
            os.kill(self.pid, signal.SIGKILL)
        for suffix in ("json", "port", "log"):
            _file(self.deploy_id, suffix).unlink(missing_ok=True)
        return True


def _answering(process: subprocess.Popen[bytes], deploy_id: str, host: str, port_file: Path, timeout: float) -> str:
    """Where it answers."""
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        port = port_file.read_text() if port_file.exists() else ""
        if port and _is_healthy(url := f"http://{host}:{port}"):
            return url
        time.sleep(_POLL_SECONDS)
    said = "\n".join(_file(deploy_id, "log").read_text(errors="replace").splitlines()[-_LAST_LINES:])
    what = "ended" if process.poll() is not None else f"did not answer within {timeout:g} s"
    raise DeploymentError(f"The application {what}:\n{said}")


def _is_healthy(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/health", timeout=_HEALTH_SECONDS) as answer:
            return bool(answer.status == http.HTTPStatus.OK)
    except OSError:  # What urllib raises for an error status is one too.
        return False


def _file(deploy_id: str, suffix: str) -> Path:
    return run_directory() / f"deploy-{deploy_id}.{suffix}"
