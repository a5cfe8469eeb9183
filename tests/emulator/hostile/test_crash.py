"""The emulator, its launcher or its zygote is killed while sandboxes live, some of them with code that never ends."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.emulator.hostile import containers, grounds, inventory
from tests.emulator.hostile.containers import Contained
from tests.emulator.hostile.grounds import NAMES, TEMPLATE, Ground
from tests.emulator.inside import Inside
from tests.emulator.signed import Account

SANDBOXES = {"process": 200, "docker": 8}
FEW_SANDBOXES = 10
# Enough for all of them; what comes of too few is another test.
DESCRIPTORS = 8192
FEW_DESCRIPTORS = {"docker": 80}
FEW = 256
AT_ONCE = 8
SECONDS = 8.0
# Where nothing can be expected to end what is left.
A_MOMENT = 2.0
# What holds on to life: it ignores every signal that it may, is not in anybody's session, and asks for no death signal.
ENDLESS = """
import ctypes, os, signal
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
if not os.fork():
    try: os.setsid()
    except OSError: pass
while True:
    try:
        while True: pass
    except BaseException: pass
"""


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[str, Path]]:
    """A ground's name, and a short folder that its user may write to."""

    made = Path(tempfile.mkdtemp(prefix="ah"))
    made.chmod(0o755)
    yield request.param, made
    grounds.remove(made)


@contextmanager
def living(name: str, folder: Path, key: str, descriptors: int = DESCRIPTORS) -> Generator[Ground]:
    """An emulator that may be killed."""
    with grounds.started(name, folder, key, descriptors) as (process, told), grounds.client_of(told["port"]) as client:
        account = Account(client, key, told["secret"])
        ground = Ground(name, process.pid, Path(told["directory"]), folder / "state", account)
        if problem := ground.status["problem"]:
            pytest.skip(f"{name}: {problem}")
        yield ground


def test_nothing_survives_the_emulator(folder: tuple[str, Path]) -> None:
    name, place = folder
    key = f"key-{uuid4().hex}"
    with living(name, place, key) as ground:
        boxes = _made(ground, SANDBOXES.get(name, FEW_SANDBOXES))
        _keep_busy(boxes[:4])
        for box in boxes[4:8]:
            box.call("POST", "processes/cmd", {"command": "(setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 &)"})
        time.sleep(0.5)
        processes = _below(ground)
        assert len(processes) > 8
        directory, pid = ground.directory, ground.pid
        os.kill(pid, signal.SIGKILL)
        try:
            assert inventory.eventually(lambda: not _alive(processes), SECONDS), [
                (process.pid, process.cmdline()) for process in _alive(processes)
            ][:5]
        finally:
            for process in _alive(processes):
                process.kill()
    with living(name, place, key) as ground:
        for box in boxes:
            shown = ground.account.data("GET", box.path).json()["data"]
            assert shown["status"] == "TERMINATED", shown
            assert shown["endReason"], shown
        # The backend sweeps when it starts, which the first sandbox waits for.
        ground.delete(ground.sandbox())
        assert not directory.exists()
        assert _cgroups_of(pid) == []
        if name == "docker":
            assert containers.of(pid) == Contained()


@pytest.mark.parametrize("victim", ["launcher", "zygote"])
def test_the_death_of_a_helper_is_not_the_end(folder: tuple[str, Path], victim: str) -> None:
    """Sandboxes end or go on; new ones can be made, and in the end nothing is left."""
    name, place = folder
    if name == "landlock" and victim == "zygote":
        pytest.skip("without namespaces there is no zygote")
    if name == "docker":
        pytest.skip("no process of the emulator's stands between it and its containers")
    with living(name, place, f"key-{uuid4().hex}") as ground:
        before = inventory.take(ground)
        boxes = _made(ground, 4)
        _keep_busy(boxes[:2])
        time.sleep(0.5)
        processes = _below(ground)
        target = _find(processes, victim)
        os.kill(target.pid, signal.SIGKILL)
        time.sleep(0.2)
        fresh = ground.sandbox()
        answer = fresh.call("POST", "contexts/execute", {"code": "1 + 1", "timeout": 10})
        assert answer.json()["results"][0]["text"] == "2", answer.text
        for box in (*boxes, fresh):
            ground.delete(box)
        old = [process for process in processes if _is_interpreter(process) or process.pid == target.pid]
        inventory.eventually(lambda: not _alive(old), SECONDS if ground.has_namespaces else A_MOMENT)
        left = [(each.pid, each.cmdline()) for each in _alive(old)]
        for process in _alive(old):
            process.kill()
        if left and name == "landlock":
            pytest.xfail("no namespace ends what a sandbox holds, and the one who would is dead")
        assert not left
        later = inventory.take(ground)
        assert not later.members - before.members


def test_too_few_descriptors_are_told_in_time(folder: tuple[str, Path]) -> None:
    """At some number a sandbox is refused, nobody waits for it without end, and those that are there go on."""
    name, place = folder
    few = FEW_DESCRIPTORS.get(name, FEW)
    with living(name, place, f"key-{uuid4().hex}", few) as ground:
        boxes = [ground.sandbox()]
        content = json.dumps({"templateName": TEMPLATE}).encode()
        while (answer := ground.account.data("POST", "/sandboxes", content)).status_code == 200:
            boxes.append(Inside(ground.account, answer.json()["data"]["sandboxId"]))
            assert len(boxes) < few
        assert answer.status_code in (429, 500, 503), answer.text
        assert ground.account.client.get("/_emulator/health").status_code == 200
        for box in boxes[:3]:
            ground.delete(box)
        ground.delete(ground.sandbox())
        executed = boxes[3].call("POST", "contexts/execute", {"code": "1 + 1", "timeout": 5})
        assert executed.json()["results"][0]["text"] == "2", executed.text


def _made(ground: Ground, count: int) -> list[Inside]:
    boxes: list[Inside] = []
    numbers = iter(range(count))
    lock = threading.Lock()

    def make() -> None:
        while True:
            with lock:
                if next(numbers, None) is None:
                    return
            content = json.dumps({"templateName": TEMPLATE}).encode()
            answer = ground.account.data("POST", "/sandboxes", content)
            boxes.append(Inside(ground.account, answer.json()["data"]["sandboxId"]))

    threads = [threading.Thread(target=make) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(boxes) == count
    return boxes


def _keep_busy(boxes: list[Inside]) -> None:
    def work(box: Inside) -> None:
        try:
            box.call("POST", "contexts/execute", {"code": ENDLESS, "timeout": 120})
        except httpx.HTTPError:
            return  # The emulator is killed meanwhile.

    for box in boxes:
        threading.Thread(target=work, args=(box,), daemon=True).start()


def _below(ground: Ground) -> list[psutil.Process]:
    if ground.name == "docker":
        return containers.processes(ground.pid)
    return psutil.Process(ground.pid).children(recursive=True)


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    alive: list[psutil.Process] = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
        except psutil.NoSuchProcess:
            continue
    return alive


def _find(processes: list[psutil.Process], name: str) -> psutil.Process:
    """The launcher is the first Python that runs it, the zygote the first that runs that."""
    module = f"agentrun.emulator.launcher{'.zygote' if name == 'zygote' else ''}"
    for process in sorted(processes, key=lambda process: process.create_time()):
        line = process.cmdline()
        if module in line and line[0] != "bwrap" and "bwrap" not in os.path.basename(line[0]):
            return process
    raise AssertionError(f"there is no {name}")


def _is_interpreter(process: psutil.Process) -> bool:
    try:
        return any("zygote" in part or "guest.workers" in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _cgroups_of(pid: int) -> list[str]:
    found: list[str] = []
    for folder, folders, _ in os.walk("/sys/fs/cgroup"):
        found += [f"{folder}/{name}" for name in folders if name.startswith(f"agentrun-{pid}-")]
    return found
