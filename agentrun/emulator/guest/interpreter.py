"""Interpreters: each executes code, keeps its state, and is really stopped when its time is up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import cast

from agentrun.emulator.guest.capture import PipeReader
from agentrun.emulator.guest.clones import watch
from agentrun.emulator.guest.errors import Conflict, Exhausted, Unavailable
from agentrun.emulator.guest.outputs import STREAMS, Output
from agentrun.emulator.guest.replies import Dialect, Display, Failure, Forked, Message, Reply, encode_json

LINES_A_TURN = 64
INTERRUPT_GRACE = 1.0
LAST_WORDS = 0.1  # seconds in which what a dead process has said, or its exit code, still arrives
FORK_SECONDS = 30.0
WARM_UP_SECONDS = 60.0
NUDGE_SECONDS = 0.5

SendSignal = Callable[[signal.Signals], object]
Ended = asyncio.Future[int | None]  # of an exit code, negative for a signal, None when it cannot be known


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
    """How one execution ended, and what it came to."""

    ending: Ending
    reply: Reply


class Interpreter(ABC):
    """A running interpreter; `alive` turns false when it has ended."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[Reply] | None = None
        self._timed_out = False
        self._killing: asyncio.TimerHandle | None = None
        self.output = Output()

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it can execute."""

    @property
    def busy(self) -> bool:
        """Whether code runs in it."""
        return self._reply is not None and not self._reply.done()

    async def execute(self, code: str, timeout: float, output: Output) -> Outcome:
        """Execute, writing to `output`; after `timeout` seconds stop it as `stop` does."""
        await self.ready()
        return await self._run(code, timeout, output)

    async def _run(self, code: str, timeout: float, output: Output) -> Outcome:
        output.follow(self.output)
        self._timed_out, self.output = False, output
        reply = self._reply = self._loop.create_future()
        timer = self._loop.call_later(timeout, self._time_out)
        self._send(code)
        try:
            answer = await reply
        finally:
            timer.cancel()
            self._finish()
        return Outcome(self._ending(answer), answer)

    async def ready(self) -> None:  # noqa: B027  # most are ready from the start
        """Return once it has come up."""

    def stop(self) -> None:
        """Interrupt the code that runs, and kill the interpreter when that has not helped after a second."""
        if self.busy and self._killing is None:
            self.interrupt()
            self._killing = self._loop.call_later(INTERRUPT_GRACE, self.kill)

    @abstractmethod
    def interrupt(self) -> None:
        """Ask the running code to end."""

    @abstractmethod
    def kill(self) -> None:
        """End the interpreter and what it started."""

    @abstractmethod
    def close(self, reason: str) -> None:
        """End it and let go of everything; code that runs fails with the reason."""

    @abstractmethod
    def _send(self, code: str) -> None:
        """Begin an execution, which `_answer` ends."""

    def _answer(self, reply: Reply) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def _time_out(self) -> None:
        self._timed_out = True
        self.stop()

    def _finish(self) -> None:
        """What is written from now on comes out with the next execution."""
        self._reply = None
        self.output = Output()
        if self._killing is not None:
            self._killing.cancel()
            self._killing = None

    def _ending(self, answer: Reply) -> Ending:
        if self._timed_out:
            return Ending.TIMEOUT if self.alive else Ending.TIMEOUT_STATE_LOST
        return Ending.OK if answer.error is None else Ending.ERROR


@dataclass
class Wires:
    """One side of what connects the guest and an interpreter: the control socket and a pipe for each stream."""

    control: socket.socket
    stdout: int
    stderr: int

    @classmethod
    def make(cls) -> tuple[Wires, Wires]:
        """The guest's side and the interpreter's."""
        near, far = socket.socketpair()
        (read_out, write_out), (read_err, write_err) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        return cls(near, read_out, read_err), cls(far, write_out, write_err)

    @property
    def descriptors(self) -> list[int]:
        return [self.control.fileno(), self.stdout, self.stderr]

    def close(self) -> None:
        self.control.close()
        os.close(self.stdout)
        os.close(self.stderr)


class Control(asyncio.Protocol):
    """The control socket on the guest's side: calls back for every line, and once at the end.

    `on_line` tells whether the line was good; after a bad one the rest is ignored. A line above `most` bytes comes as
    an empty one, which is always bad.
    """

    def __init__(self, on_line: Callable[[bytes], bool], on_end: Callable[[], None], most: int) -> None:
        self._on_line = on_line
        self._on_end = on_end
        self._most = most
        self._rest = bytearray()
        self._ignoring = False
        self._paused = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._ignoring:
            return
        self._rest += data
        if b"\n" in data:
            self._hand_over()
        elif len(self._rest) > self._most:
            self._take(self._rest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end()

    def _hand_over(self) -> None:
        """Hand over some lines; others have their turn before the next ones."""
        *lines, self._rest = self._rest.split(b"\n", LINES_A_TURN)
        for line in lines:
            self._take(line)
        if b"\n" in self._rest:
            self._pause()
            asyncio.get_running_loop().call_soon(self._hand_over)
        elif self._paused:
            self._resume()

    def _take(self, line: bytearray) -> None:
        if not self._ignoring and not self._on_line(bytes(line) if len(line) <= self._most else b""):
            self._ignoring = True
        if self._ignoring:
            self._rest.clear()

    def _pause(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()


class Worker(Interpreter):
    """An interpreter in a process of its own, the leader of its session, connected by wires.

    `send_signal` reaches its process group; without one it is this machine's process `pid`.
    """

    def __init__(
        self, pid: int, ended: Ended, wires: Wires, dialect: Dialect, send_signal: SendSignal | None = None
    ) -> None:
        super().__init__()
        self._send_signal = send_signal or partial(os.killpg, pid)
        self._dialect = dialect
        self._control = wires.control
        self._pipes = [
            PipeReader(descriptor, partial(self._write, name))
            for name, descriptor in zip(STREAMS, (wires.stdout, wires.stderr), strict=True)
        ]
        self._transport: asyncio.Transport
        self._forked: asyncio.Future[Forked] | None = None
        self._ready: asyncio.Task[Outcome] | None = None
        self._ended = ended
        self._death: Failure | None = None
        self._hung_up = False

    @classmethod
    async def connect(
        cls, pid: int, ended: Ended, wires: Wires, dialect: Dialect, send_signal: SendSignal | None = None
    ) -> Worker:
        """Take over a process that was started with the other side of the wires."""
        self = cls(pid, ended, wires, dialect, send_signal)
        protocol = Control(self._on_line, self._on_hang_up, dialect.most)
        self._transport, _ = await self._loop.create_unix_connection(lambda: protocol, sock=wires.control)
        ended.add_done_callback(lambda _: self._on_end())
        return self

    @property
    def alive(self) -> bool:
        return self._death is None and not self._hung_up and not self._ended.done()

    # Executing

    def warm_up(self, code: str) -> None:
        """Come up before any clock runs, and drop what an interactive bash without a terminal complains about."""
        self._ready = asyncio.create_task(self._run(code, WARM_UP_SECONDS, Output()))

    async def ready(self) -> None:
        if self._ready is not None:
            while not self._ready.done():
                await asyncio.wait([self._ready], timeout=NUDGE_SECONDS)
                self._go_on()
            self._ready = None

    def change_directory(self, cwd: str) -> None:
        """Move to another folder; for interpreters that speak JSON."""
        self._transport.write(encode_json({"cwd": cwd}))

    def _send(self, code: str) -> None:
        if self._death is not None:
            self._answer(Reply(error=self._death))
        else:
            self._go_on()
            self._transport.write(self._dialect.encode(code))

    def _go_on(self) -> None:
        """Code that runs beside it, as the same user, may have stopped it while it had nothing to do."""
        self._signal(signal.SIGCONT)

    def _write(self, stream: str, data: bytes) -> None:
        self.output.write(stream, data)

    def _on_line(self, line: bytes) -> bool:
        """Take what it says, after what it wrote before; False when it cannot be listened to any more."""
        if self._death is not None:
            return False
        for pipe in self._pipes:
            pipe.drain()
        try:
            self._receive(self._dialect.decode(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            self.kill()
            self._die(Failure("InterpreterError", "", "the interpreter gave an unreadable answer; its state is lost"))
        return self._death is None

    def _receive(self, message: Message) -> None:
        if isinstance(message, Display):
            self.output.display(message.data, message.size)
            if message.waits:
                self._transport.write(encode_json({"shown": True}))
        elif isinstance(message, Reply):
            self._answer(message)
        elif self._forked is not None and not self._forked.done():
            self._forked.set_result(message)

    # Forking

    async def fork(self) -> Worker:
        """A clone that has the same state and goes its own way. Raises Exhausted when there is no room for it."""
        near, far = Wires.make()
        try:
            pid = await self._request_clone(far)
        except BaseException:
            near.close()
            raise
        finally:
            far.close()
        return await Worker.connect(pid, watch(pid), near, self._dialect)

    async def _request_clone(self, far: Wires) -> int:
        await self.ready()
        if not self.alive:
            raise Conflict("the interpreter has ended, and its state with it")
        answer = self._forked = self._loop.create_future()
        socket.send_fds(self._control, [encode_json({"fork": True})], far.descriptors)
        await asyncio.wait([answer, self._ended], timeout=FORK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise Unavailable("the interpreter did not answer when it was asked for a clone")
        forked = answer.result()
        if not isinstance(forked.pid, int) or forked.pid <= 1:
            raise Exhausted(f"the interpreter cannot be cloned: {forked.error}")
        return forked.pid

    # Ending

    def interrupt(self) -> None:
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def close(self, reason: str) -> None:
        self.kill()
        self._die(Failure("InterpreterExited", "", reason))
        self._transport.close()
        for pipe in self._pipes:
            pipe.close()

    async def wait_ended(self) -> None:
        """Return once its process has ended, or cannot be expected to."""
        await asyncio.wait([self._ended], timeout=INTERRUPT_GRACE)

    def _signal(self, number: signal.Signals) -> None:
        """Signal its process group, as a terminal would."""
        if self._death is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                self._send_signal(number)

    def _on_hang_up(self) -> None:
        self._hung_up = True
        self.kill()
        self._await_the_rest()

    def _on_end(self) -> None:
        """Its children in its process group end with it."""
        self.kill()
        self._await_the_rest()

    def _await_the_rest(self) -> None:
        """Of the exit code and the end of the control socket one is here; the other comes at once, or never."""
        if self._hung_up and self._ended.done():
            self._bury()
        else:
            self._loop.call_later(LAST_WORDS, self._bury)

    def _bury(self) -> None:
        code = self._ended.result() if self._ended.done() else None
        self._die(Failure("InterpreterExited", "" if code is None else str(code), _death_text(code)))

    def _die(self, death: Failure) -> None:
        self._death = self._death or death
        for pipe in self._pipes:
            pipe.drain()
        self._answer(Reply(error=self._death))


def how_it_ended(code: int | None) -> str:
    """What became of an interpreter that has ended, to be put after its name."""
    if code is None:
        return "ended"
    if code >= 0:
        return f"exited with code {code}"
    return f"was ended by {_signal_name(-code)}" + (" (out of memory?)" if code == -signal.SIGKILL else "")


def _death_text(code: int | None) -> str:
    return f"the interpreter {how_it_ended(code)}; the state of the context is lost, the next execution starts afresh"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
