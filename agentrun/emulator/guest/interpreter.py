"""One interpreter process: executes code, captures what it writes, and is really stopped when its time is up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from asyncio.subprocess import Process
from dataclasses import dataclass
from enum import Enum

from agentrun.emulator.guest.capture import Capture
from agentrun.emulator.guest.languages import Failure, Language, Reply

MAX_REPLY = 16 * 1024 * 1024
INTERRUPT_GRACE = 1.0
ENVIRONMENT = {"PS1": "", "PS2": "", "MPLBACKEND": "Agg", "TERM": "dumb", "HISTFILE": ""}


class Ending(str, Enum):
    """How an execution ended."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    TIMEOUT_STATE_LOST = "timeout, state lost"

    @property
    def timed_out(self) -> bool:
        return self in (Ending.TIMEOUT, Ending.TIMEOUT_STATE_LOST)


@dataclass(frozen=True)
class Outcome:
    """Everything one execution left."""

    ending: Ending
    stdout: str
    stderr: str
    reply: Reply


class Interpreter:
    """A running interpreter; `alive` turns false when its process ended, by itself or by a timeout."""

    def __init__(self, language: Language, process: Process, output: tuple[Capture, Capture]) -> None:
        self.language = language
        self._process = process
        self._stdout, self._stderr = output
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._warm_up: asyncio.Task[None]

    @classmethod
    async def start(cls, language: Language, cwd: str) -> Interpreter:
        """Start one in its own process group; it may still be coming up when this returns."""
        near, far = socket.socketpair()
        output = Capture(), Capture()
        process = await asyncio.create_subprocess_exec(
            *language.command,
            stdin=far.fileno(),
            stdout=output[0].writer,
            stderr=output[1].writer,
            cwd=cwd,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
        far.close()
        for capture in output:
            capture.close_writer()
        self = cls(language, process, output)
        self._reader, self._writer = await asyncio.open_connection(sock=near, limit=MAX_REPLY)
        self._warm_up = asyncio.create_task(self._execute_nothing())
        return self

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._reader.at_eof()

    @property
    def pid(self) -> int:
        return self._process.pid

    def change_directory(self, cwd: str) -> None:
        """Move to another folder; for interpreters that speak JSON."""
        self._writer.write(json.dumps({"cwd": cwd}).encode() + b"\n")

    async def execute(self, code: str, timeout: float) -> Outcome:
        """Execute; after `timeout` seconds interrupt, and when that does not help kill the interpreter."""
        await asyncio.wait([self._warm_up])
        self._writer.write(self.language.encode(code))
        reply = asyncio.ensure_future(self._reply())
        in_time = await _done(reply, timeout)
        if not in_time:
            await self._interrupt(reply)
        answer = await reply
        return Outcome(self._ending(answer, in_time), self._stdout.take(), self._stderr.take(), answer)

    async def _interrupt(self, reply: asyncio.Future[Reply]) -> None:
        """Ask the code to stop, and kill the interpreter when it goes on."""
        self._signal(signal.SIGINT)
        if not await _done(reply, INTERRUPT_GRACE):
            self.kill()

    def _ending(self, answer: Reply, in_time: bool) -> Ending:
        if not in_time:
            return Ending.TIMEOUT if self.alive else Ending.TIMEOUT_STATE_LOST
        return Ending.OK if answer.error is None else Ending.ERROR

    def kill(self) -> None:
        """Kill it and what it started in its process group."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill it and let go of everything."""
        self.kill()
        self._warm_up.cancel()
        self._writer.close()
        for capture in (self._stdout, self._stderr):
            capture.close()

    async def _execute_nothing(self) -> None:
        """Come up before any clock runs, and drop what an interactive bash without a terminal complains about."""
        self._writer.write(self.language.encode(""))
        await self._reply()
        for capture in (self._stdout, self._stderr):
            capture.take()

    async def _reply(self) -> Reply:
        try:
            return self.language.decode(await self._reader.readuntil(b"\n"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return Reply(error=await self._death())
        except (asyncio.LimitOverrunError, ValueError, KeyError, TypeError):
            self.kill()
            return Reply(
                error=Failure("InterpreterError", "", "the interpreter gave an unreadable answer; its state is lost")
            )

    async def _death(self) -> Failure:
        self.kill()
        code = await self._process.wait()
        how = f"exited with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        text = f"the interpreter {how}{hint}; the state of the context is lost, the next execution starts afresh"
        return Failure("InterpreterExited", str(code), text)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


async def _done(task: asyncio.Future[Reply], seconds: float) -> bool:
    return bool((await asyncio.wait([task], timeout=seconds))[0])
