"""The processes that the agent starts: commands that are waited for, and those that run in the background."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentrun.emulator.guest import proctable, signals
from agentrun.emulator.guest.errors import BadRequest, Conflict, NotFound
from agentrun.emulator.guest.paths import check_folder, shown
from agentrun.emulator.guest.streams import Input, Kept, Output, Tail

REMEMBERED = 100
NAMES = ("stdout", "stderr")


@dataclass(frozen=True)
class Command:
    """What to start, where and with what; `stdin` is text to read, None for nothing, "" with `open_stdin` to come."""

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    stdin: str | None = None
    open_stdin: bool = False

    @property
    def text(self) -> str:
        """As people read it."""
        return self.argv[-1] if len(self.argv) == 3 and self.argv[1] == "-c" else " ".join(self.argv)


def shell_command(text: str) -> list[str]:
    """What runs a line of shell."""
    if "\0" in text:
        raise BadRequest("the command has a NUL byte")
    return [shell(), "-c", text]


def shell() -> str:
    """The best shell there is."""
    return shutil.which("bash") or "/bin/sh"


class Started:
    """One process that the agent started, with its output, until it is forgotten."""

    def __init__(self, command: Command, tag: str | None, *, keep_last: bool) -> None:
        self.command = command
        self.tag = tag
        self.created = time.time()
        self.began = time.monotonic()
        self.timed_out = False
        self.exit_code: int | None = None
        self.outputs = {name: Output(Kept(last=keep_last)) for name in NAMES}
        self.input = Input() if command.open_stdin or command.stdin is not None else None
        self.pid = 0
        self._changed: set[asyncio.Event] = set()
        self._tasks: list[asyncio.Future[Any]] = []
        self._ended: asyncio.Task[None]

    async def start(self, timeout: float | None) -> None:
        """Start it; after `timeout` seconds it is killed with all it has started. Raises BadRequest, Conflict."""
        try:
            process = await self._spawn()
        except BaseException:
            self._close_all()
            raise
        self.pid = process.pid
        for output in self.outputs.values():
            output.close_writer()
        if self.input is not None:
            self.input.close_reader()
            if self.command.stdin is not None:
                self._tasks.append(asyncio.ensure_future(self.input.feed(self.command.stdin.encode())))
        self._ended = asyncio.ensure_future(self._watch(process, timeout))

    @property
    def status(self) -> str:
        """How it is: running, completed or timeout."""
        if self.exit_code is None:
            return "running"
        return "timeout" if self.timed_out else "completed"

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, but not longer than `timeout` seconds; whether it has ended."""
        await asyncio.wait([self._ended], timeout=timeout)
        return self.exit_code is not None

    async def write(self, data: bytes, *, close: bool) -> int:
        """Write to its stdin, and perhaps end that; Conflict when it has none, or does not read it any more."""
        if self.input is None:
            raise Conflict(f'process {self.pid} has no stdin to write to: start it with "stdin": true')
        if data:
            await self.input.write(data)
        if close:
            self.input.close()
        return len(data)

    def kill(self) -> None:
        """End it and all it has started, if it still runs."""
        if self.exit_code is None and self.pid:
            signals.kill_session(self.pid)

    async def events(self, lines: int | None = None, *, follow: bool = True) -> AsyncGenerator[dict[str, Any], None]:
        """What was kept of its output, all or the last lines of each stream, with `follow` all that comes; its end."""
        changed = asyncio.Event()
        tails = {name: output.follow(changed, lines) for name, output in self.outputs.items()}
        self._changed.add(changed)
        changed.set()
        try:
            while self.exit_code is None and follow:
                await changed.wait()
                changed.clear()
                for event in _texts(tails):
                    yield event
            for event in _texts(tails, final=True):
                yield event
            if self.exit_code is not None:
                yield self.ending()
        finally:
            self._changed.discard(changed)
            for name, tail in tails.items():
                self.outputs[name].unfollow(tail)

    def ending(self) -> dict[str, Any]:
        """The last event."""
        return {"type": "exit", "exitCode": self.exit_code, "status": self.status}

    def item(self) -> dict[str, Any]:
        """As it travels in a list."""
        return {
            "processId": str(self.pid),
            "status": self.status,
            "command": self.command.text,
            "tag": self.tag,
            "createdAt": proctable.timestamp(self.created),
        }

    def result(self) -> dict[str, Any]:
        """Exit code and what was kept of its output."""
        return {"exitCode": self.exit_code, **{name: output.kept.text() for name, output in self.outputs.items()}}

    def forget(self) -> None:
        """Let go of its output; what it left in the background can go on writing."""
        for output in self.outputs.values():
            output.discard()

    async def _spawn(self) -> asyncio.subprocess.Process:
        command = self.command
        try:
            return await asyncio.create_subprocess_exec(
                *command.argv,
                stdin=asyncio.subprocess.DEVNULL if self.input is None else self.input.reader,
                stdout=self.outputs["stdout"].writer,
                stderr=self.outputs["stderr"].writer,
                cwd=command.cwd,
                env={**os.environ, **command.environment},
                start_new_session=True,
            )
        except BlockingIOError:
            raise  # the limit of processes, which the app explains
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            text = f"{command.argv[0]!r} cannot be started in {shown(command.cwd)}: {reason}"
            raise BadRequest(text) from None

    async def _watch(self, process: asyncio.subprocess.Process, timeout: float | None) -> None:
        ended = asyncio.ensure_future(process.wait())
        finished, _ = await asyncio.wait([ended], timeout=timeout)
        if not finished:
            self.timed_out = True
            signals.kill_session(self.pid)
        code = signals.exit_code(await ended)
        for output in self.outputs.values():
            output.drain()
        self.exit_code = code
        if self.input is not None:
            self.input.close()
        for task in self._tasks:
            task.cancel()
        for changed in self._changed:
            changed.set()

    def _close_all(self) -> None:
        for output in self.outputs.values():
            output.close()
        if self.input is not None:
            self.input.close()


class Processes:
    """What was started in the background, also what has ended, as long as it is remembered."""

    def __init__(self) -> None:
        self._started: OrderedDict[int, Started] = OrderedDict()

    async def start(self, command: Command, tag: str | None, timeout: float | None) -> Started:
        """Start a process that nobody waits for."""
        check_folder(command.cwd)
        process = Started(command, tag, keep_last=True)
        await process.start(timeout)
        self._forget(self._started.pop(process.pid, None))
        self._started[process.pid] = process
        self._forget_old()
        return process

    def find(self, pid: int) -> Started:
        """One of them; NotFound when there is no such process, Conflict when it was started otherwise."""
        process = self._started.get(pid)
        if process is not None:
            return process
        if proctable.find(pid) is not None:
            raise Conflict(f"process {pid} was not started with POST /processes: nothing is kept of its output and end")
        raise NotFound(f"process {pid} does not exist")

    def list_all(self) -> dict[str, Any]:
        """Everything that runs in the sandbox, apart from what the sandbox itself consists of."""
        items = [{**proctable.item(seen), **self._known(pid)} for pid, seen in proctable.visible().items()]
        return {"items": items, "total": len(items)}

    def get(self, pid: int) -> dict[str, Any]:
        """One process in detail, or how it ended; NotFound when it does not run and is not remembered."""
        seen = proctable.find(pid)
        if seen is not None and not seen.ended:
            return {**proctable.item(seen), **self._known(pid), **proctable.details(seen)}
        process = self._started.get(pid)
        if process is None:
            raise NotFound(f"process {pid} does not exist")
        return {**process.item(), "exitCode": process.exit_code}

    def close(self) -> None:
        """End all."""
        for process in self._started.values():
            process.kill()
            process.forget()

    def _known(self, pid: int) -> dict[str, Any]:
        process = self._started.get(pid)
        if process is None or process.exit_code is not None:
            return {}
        return {"command": process.command.text, "tag": process.tag}

    def _forget_old(self) -> None:
        ended = [pid for pid, process in self._started.items() if process.exit_code is not None]
        for pid in ended[: max(0, len(ended) - REMEMBERED)]:
            self._forget(self._started.pop(pid))

    def _forget(self, process: Started | None) -> None:
        if process is not None:
            process.forget()


async def run_to_end(command: Command, timeout: float) -> dict[str, Any]:
    """Run a command to its end; after `timeout` seconds, or when nobody waits any more, kill all it has started.

    What it leaves in the background goes on and is not waited for. Ended by a signal, the exit code is 128 plus its
    number.
    """
    process = await _start(command, timeout)
    try:
        await process.wait()
        milliseconds, result = round((time.monotonic() - process.began) * 1000), process.result()
    finally:
        process.kill()
        process.forget()
    return {
        "executionId": uuid.uuid4().hex,
        "status": process.status,
        "result": {**result, "cwd": shown(command.cwd), "executionTimeMs": milliseconds},
        "executionTimeMs": milliseconds,
    }


async def run_streaming(command: Command, timeout: float) -> AsyncGenerator[dict[str, Any], None]:
    """As `run_to_end`, started when this returns: an event for each piece of output, and one for the end."""
    process = await _start(command, timeout)

    async def events() -> AsyncGenerator[dict[str, Any], None]:
        try:
            async for event in process.events():
                yield event
        finally:
            process.kill()
            process.forget()

    return events()


async def _start(command: Command, timeout: float) -> Started:
    check_folder(command.cwd)
    process = Started(command, None, keep_last=False)
    await process.start(timeout)
    return process


def _texts(tails: Mapping[str, Tail], *, final: bool = False) -> list[dict[str, Any]]:
    found = [(name, tail.take(final=final)) for name, tail in tails.items()]
    return [{"type": name, "text": text} for name, text in found if text]
