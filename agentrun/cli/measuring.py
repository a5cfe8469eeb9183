"""What sandboxes cost on this machine, measured as users see it: through the signed API, every answer checked."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from agentrun._core import local
from agentrun.cli.output import CommandError
from agentrun.config import Config
from agentrun.sandbox import CodeInterpreterSandbox, Sandbox, Template

CODE, ANSWER = "1+1", "2"
TEMPLATE = "agentrun-bench"
START_SECONDS = 20.0
# Processes that have done their work may still be ending.
SETTLE_SECONDS = 0.5
MEBIBYTE = 1024 * 1024
FRAME = "import numpy, pandas\nframe = pandas.DataFrame({'a': numpy.arange(13_000_000.0)})\nframe.a.sum()"


@dataclass(frozen=True)
class Times:
    """Milliseconds that some calls took."""

    milliseconds: Sequence[float]

    def at(self, percentage: float) -> float:
        """The value that so many percent of the calls did not exceed."""
        ordered = sorted(self.milliseconds)
        return ordered[max(0, math.ceil(len(ordered) * percentage / 100) - 1)]

    def __str__(self) -> str:
        return f"{self.at(50):.2f} ms (p95 {self.at(95):.2f}, p99 {self.at(99):.2f})"


@dataclass(frozen=True)
class Throughput:
    """Lives of sandboxes: how many a minute, and how long each took."""

    per_minute: float
    times: Times


@dataclass(frozen=True)
class Memory:
    """MiB of proportional set size of one sandbox."""

    new: float
    after_answer: float
    with_context: float


@dataclass(frozen=True)
class FreshEmulator:
    """An emulator in a process of its own."""

    config: Config
    pid: int


class Wrong(Exception):
    """A sandbox gave another answer than the right one."""


class Measuring:
    """The measurements, on a template that is warm."""

    def __init__(self, emulator: FreshEmulator) -> None:
        self._template_name = TEMPLATE
        self._config = emulator.config
        self._emulator = emulator.pid

    def first_answer(self, count: int = 200) -> Times:
        """From the request for a sandbox to its first answer, one after the other."""
        return Times([self._first_answer() for _ in range(count)])

    def lives(self, clients: int = 8, seconds: float = 60.0) -> Throughput:
        """Create, execute and delete by several clients at once, for some time."""
        took: list[float] = []
        ends = time.perf_counter() + seconds
        began = time.perf_counter()
        _together(clients, lambda: self._live_until(ends, took))
        return Throughput(len(took) / (time.perf_counter() - began) * 60, Times(took))

    def burst(self, count: int = 100) -> float:
        """Milliseconds until so many sandboxes, all asked for at once, have answered."""
        return asyncio.run(self._burst(count))

    def warm(self, count: int = 500) -> Times:
        """An execution in a context that has been used before."""
        with self._create() as sandbox:
            context = sandbox.context.create()
            context.execute(CODE)
            return Times([_timed(lambda: _check(context.execute(CODE).text)) for _ in range(count)])

    def pause_and_resume(self, count: int = 30) -> tuple[Times, Times]:
        """Freezing a sandbox for the first time, and letting it go on."""
        pauses, resumes = list[float](), list[float]()
        for _ in range(count):
            with self._create() as sandbox:
                context = sandbox.context.create()
                context.execute(CODE)
                pauses.append(_timed(sandbox.pause))
                resumes.append(_timed(sandbox.resume))
                _check(context.execute(CODE).text)
        return Times(pauses), Times(resumes)

    def fork(self, count: int = 20) -> Times:
        """A fork of a context that holds a DataFrame of 100 MB."""
        with self._create() as sandbox:
            context = sandbox.context.create()
            context.execute(FRAME).raise_on_error()
            took: list[float] = []
            for _ in range(count):
                began = time.perf_counter()
                (clone,) = context.fork(1)
                took.append((time.perf_counter() - began) * 1000)
                if clone.execute("len(frame)").text != "13000000":
                    raise Wrong("the clone does not have the frame")
                clone.delete()
        return Times(took)

    def idle_memory(self, count: int = 100) -> Memory:
        """What so many idle sandboxes weigh, each: new, after one answer, and with a context that has answered."""
        return Memory(
            self._weigh(count, lambda sandbox: None),
            self._weigh(count, lambda sandbox: _check(sandbox.context.execute(CODE).text)),
            self._weigh(count, lambda sandbox: _check(sandbox.context.create().execute(CODE).text)),
        )

    def _weigh(self, count: int, use: Callable[[CodeInterpreterSandbox], None]) -> float:
        sandboxes = [self._create() for _ in range(count)]
        try:
            for sandbox in sandboxes:
                use(sandbox)
            time.sleep(SETTLE_SECONDS)
            return sum(map(_proportional, _inside(self._emulator))) / count
        finally:
            for sandbox in sandboxes:
                sandbox.delete()

    @contextmanager
    def crowd(self, count: int) -> Generator[None]:
        """So many sandboxes that have answered once and are idle, for as long as the block lasts."""
        sandboxes = [self._create() for _ in range(count)]
        try:
            yield
        finally:
            for sandbox in sandboxes:
                sandbox.delete()

    def transfer(self, mebibytes: int = 256) -> tuple[float, float]:
        """MiB a second up and down, for one large file."""
        with tempfile.TemporaryDirectory() as folder, self._create() as sandbox:
            source, target = Path(folder, "up"), Path(folder, "down")
            source.write_bytes(os.urandom(MEBIBYTE) * mebibytes)
            up = _timed(lambda: sandbox.file_system.upload(source, "/home/user/large"))
            down = _timed(lambda: sandbox.file_system.download("/home/user/large", target))
            if source.read_bytes() != target.read_bytes():
                raise Wrong("the file came back changed")
        return mebibytes / up * 1000, mebibytes / down * 1000

    def _create(self) -> CodeInterpreterSandbox:
        return CodeInterpreterSandbox.create("CodeInterpreter", self._template_name, config=self._config)

    def _first_answer(self) -> float:
        began = time.perf_counter()
        sandbox = self._create()
        _check(sandbox.context.execute(CODE).text)
        took = (time.perf_counter() - began) * 1000
        sandbox.delete()
        return took

    def _live(self) -> None:
        sandbox = self._create()
        _check(sandbox.context.execute(CODE).text)
        sandbox.delete()

    def _live_until(self, ends: float, took: list[float]) -> None:
        while time.perf_counter() < ends:
            took.append(_timed(self._live))

    async def _burst(self, count: int) -> float:
        async def first() -> CodeInterpreterSandbox:
            sandbox = await Sandbox.create_async("CodeInterpreter", self._template_name, config=self._config)
            _check((await sandbox.context.execute_async(CODE)).text)
            return sandbox

        began = time.perf_counter()
        sandboxes = await asyncio.gather(*(first() for _ in range(count)))
        took = (time.perf_counter() - began) * 1000
        await asyncio.gather(*(sandbox.delete_async() for sandbox in sandboxes))
        return took


def _check(text: str | None) -> None:
    if text != ANSWER:
        raise Wrong(f"{CODE} gave {text!r}")


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _inside(emulator: int) -> list[int]:
    """The processes of an emulator's sandboxes: they are below it, in process id namespaces of their own."""
    parents, namespaces = dict[int, int](), dict[int, int]()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            namespaces[int(folder.name)] = (folder / "ns/pid").stat().st_ino
    own = namespaces[emulator]
    # What forks sandboxes is in a namespace of its own too, the only kind whose first process has a parent here.
    stations = {inode for pid, inode in namespaces.items() if namespaces.get(parents[pid]) == own != inode}
    others = [pid for pid, inode in namespaces.items() if inode != own and inode not in stations]
    return [pid for pid in others if _below(pid, emulator, parents)]


def _below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != ancestor:
        pid = parents[pid]
    return pid == ancestor


def _proportional(pid: int) -> float:
    """MiB of a process, with its share of what it has together with others."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _together(count: int, work: Callable[[], None]) -> None:
    """Do the same in several threads; the first failure is raised."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def measurements(
    emulator: FreshEmulator, clients: int, seconds: float, memory: int
) -> list[tuple[str, Callable[[], str]]]:
    """What is measured, in its order, each with its figure as text."""
    measuring = Measuring(emulator)
    return [
        ("create to the first answer of 1+1", lambda: str(measuring.first_answer())),
        (f"lives a minute, {clients} clients", lambda: _lives(measuring, clients, seconds)),
        ("100 at once, until all have answered", lambda: f"{measuring.burst():.0f} ms"),
        ("1+1 in a warm context", lambda: str(measuring.warm())),
        ("pause; resume", lambda: _pair(measuring.pause_and_resume())),
        ("fork of a context that holds 100 MB", lambda: str(measuring.fork())),
        ("memory of an idle sandbox", lambda: _memory(measuring.idle_memory(memory))),
        ("upload; download", lambda: "{:.0f} MiB/s; {:.0f} MiB/s".format(*measuring.transfer())),
    ]


def _lives(measuring: Measuring, clients: int, seconds: float) -> str:
    done = measuring.lives(clients, seconds)
    return f"{done.per_minute:.0f}, each {done.times}"


def _memory(memory: Memory) -> str:
    after, context = memory.after_answer, memory.with_context
    return f"{memory.new:.1f} MiB new, {after:.1f} MiB after an answer, {context:.1f} MiB with a context"


def _pair(times: tuple[Times, Times]) -> str:
    return f"{times[0]}; {times[1]}"


@contextmanager
def fresh_emulator(*options: str) -> Generator[FreshEmulator]:
    """The settings for an emulator in a process of its own, with a template that is warm."""
    port = _free_port()
    command = [sys.executable, "-m", "agentrun.emulator", f"--port={port}", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=os.sep)
    try:
        _wait(process, f"http://{local.HOST}:{port}/_emulator/health")
        with Config.local(port) as config:
            Template.create(template_name=TEMPLATE, template_type="CodeInterpreter", config=config)
            with Sandbox.create("CodeInterpreter", TEMPLATE, config=config) as first:
                first.context.execute("1+1").raise_on_error()
            yield FreshEmulator(config, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urlopen(url, timeout=1).close()
        except URLError:
            time.sleep(0.01)
        else:
            return
    raise CommandError("the emulator did not start; `agentrun doctor` tells what is missing")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((local.HOST, 0))
        port: int = probe.getsockname()[1]
    return port
