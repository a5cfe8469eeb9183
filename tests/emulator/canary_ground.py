"""An emulator as a process of its own, and every place where something that it was told could turn up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from agentrun.config import Config
from agentrun.emulator.records import RunningEmulator
from agentrun.sandbox import CodeInterpreterSandbox
from tests.canary import MARK, files_below, holds, processes
from tests.emulator.signed import Account
from tests.unit.servers import Line, Received, Server, answer, serving

KEY = "key-of-canaries"
# Beside a variable with a secret that was asked for.
ASKED = "HAS_ASKED_FOR_A_SECRET"
COMPLETION: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}
# Looks in a sandbox for the mark, which is written backwards so that the search does not find itself.
SEARCH = """
import os
wanted, found = {mark!r}.encode()[::-1], []
for name, value in os.environ.items():
    if wanted in os.fsencode(name + value): found.append(name)
for top in ("/home", "/tmp", "/var/tmp", "/dev/shm", "/run", "/etc", "/root", "/opt", "/mnt", "/srv", os.getcwd()):
    for root, _, names in os.walk(top):
        for path in (os.path.join(root, name) for name in names):
            try:
                if not os.path.isfile(path): continue
                if wanted in open(path, "rb").read(1 << 22) + os.fsencode(path): found.append(path)
            except OSError: pass
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        try:
            if wanted in open("/proc/%s/%s" % (pid, name), "rb").read(): found.append(pid + name)
        except OSError: pass
print(found)
"""


@dataclass
class Ground:
    """A running emulator, the provider of its models, where its spans go, and what was said to callers."""

    folder: Path
    process: subprocess.Popen[bytes]
    record: RunningEmulator
    provider: Server
    spans: Server
    client: httpx.Client
    said: list[str] = field(default_factory=list[str])
    sandbox: CodeInterpreterSandbox | None = None
    # Another one, whose code has used secrets by placeholders.
    using: CodeInterpreterSandbox | None = None
    # Where what runs here says something: the paths of its logs.
    logs: list[str] = field(default_factory=list[str])
    started: list[int] = field(default_factory=list[int])

    @property
    def config(self) -> Config:
        endpoint = self.record.url
        return Config.local(access_key_id=KEY).replace(control_endpoint=endpoint, data_endpoint=endpoint, max_retries=0)

    @property
    def account(self) -> Account:
        return Account(self.client, KEY)

    def note(self, said: Any) -> None:
        """What callers were told in an error, with all that it carries."""
        detail = f"{said!r} {said} {vars(said)}" if isinstance(said, BaseException) else str(said)
        self.said.append(detail)

    @property
    def places(self) -> Mapping[str, Callable[[], list[str]]]:
        """Where a secret may turn up, by names; each gives what it found."""
        return {
            "files": lambda: files_below(self.folder),
            "journal": lambda: self._told("journal"),
            "metrics": lambda: self._told("metrics"),
            "status": lambda: self._told("status"),
            "errors": lambda: [text[:200] for text in self.said if holds(text)],
            "spans": lambda: [each.path for each in self.spans.requests if holds(each.body)],
            "listings": self._listings,
            "processes": self._processes,
            "logs": self._logs,
            "sandbox": self._in_sandboxes,
        }

    def leaks(self) -> dict[str, list[str]]:
        """What each place has found, of those that have found something."""
        found = {name: look() for name, look in self.places.items()}
        return {name: what for name, what in found.items() if what}

    def _told(self, what: str) -> list[str]:
        text = self.client.get(f"/_emulator/{what}").raise_for_status().text
        return [what] if holds(text) else []

    def _listings(self) -> list[str]:
        kinds = ("credentials", "model-services", "model-proxies", "runtimes", "tools", "knowledgebases")
        paths = [*(f"/2025-09-10/agents/{kind}" for kind in kinds), "/2025-09-10/templates", "/2023-07-14/toolsets"]
        return [path for path in paths if holds(self.account.call("GET", path).text)]

    def _logs(self) -> list[str]:
        found: list[str] = []
        for path in self.logs:
            lines = self.account.data("GET", path).raise_for_status().json()["lines"]
            assert lines, path
            found += [path] if holds("\n".join(lines)) else []
        return found

    def _processes(self) -> list[str]:
        ours = psutil.Process(self.process.pid)
        pids = [ours.pid, *(each.pid for each in ours.children(recursive=True)), *self.started]
        return [each for each in processes(pids) if each not in map("environ of {}".format, filter(_asked, pids))]

    def _in_sandboxes(self) -> list[str]:
        assert self.sandbox
        found: list[str] = []
        for sandbox in filter(None, (self.sandbox, self.using)):
            result = sandbox.context.execute(SEARCH.format(mark=MARK[::-1]), timeout=120)
            text = result.stdout
            assert text.startswith("["), result
            found += [] if text.strip() == "[]" else [text]
        return found


def _asked(pid: int) -> bool:
    """Whether a process was given the secret itself, because that was asked for: its environment is the place."""
    try:
        return f"{ASKED}=yes\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def careless(line: Line, received: Received) -> bool:
    """A provider that repeats the key it was shown, in errors as well as in answers."""
    shown = received.headers.get("authorization", "")
    asked = json.loads(received.body or b"{}")
    if asked.get("model") == "broken":
        return answer({"error": {"message": f"the key {shown} is wrong"}}, 401)(line, received)
    said = {**COMPLETION, "choices": [{**COMPLETION["choices"][0], "message": {"role": "assistant", "content": "ok"}}]}
    return answer(said, headers={"x-seen": "yes"})(line, received)


@contextmanager
def ground(trusted_ca: Path | None = None) -> Generator[Ground, None, None]:
    """A running emulator that records its models and sends spans; all it writes is below one folder."""
    folder = Path(tempfile.mkdtemp(prefix="cny-", dir="/tmp"))  # Short enough for sockets in it.
    for name in ("run", "tmp"):
        (folder / name).mkdir(mode=0o700)
    folder.chmod(0o755)
    (folder / "tmp").chmod(0o711)
    try:
        with serving(careless) as provider, serving(answer(b"")) as spans, open(folder / "log", "wb") as log:
            environment = {
                **os.environ,
                "XDG_RUNTIME_DIR": str(folder / "run"),
                "TMPDIR": str(folder / "tmp"),
                "OTEL_EXPORTER_OTLP_ENDPOINT": spans.url,
                "OTEL_BSP_SCHEDULE_DELAY": "100",
            }
            command = [sys.executable, "-m", "agentrun.emulator", "--port=0", "--until-stdin-closes"]
            command += [f"--state={folder / 'state'}", f"--record={folder / 'recording.jsonl'}"]
            command += [f"--trusted-ca={trusted_ca}"] if trusted_ca else []
            command += [f"--record-url={provider.url}/v1", "--record-model=m"]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
            )
            stdin, stdout = process.stdin, process.stdout
            assert stdin is not None
            assert stdout is not None
            try:
                record = RunningEmulator(**json.loads(stdout.readline()))
                with httpx.Client(base_url=record.url, timeout=120, trust_env=False) as client:
                    yield Ground(folder, process, record, provider, spans, client)
            finally:
                stdin.close()
                process.wait(60)
                stdout.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
