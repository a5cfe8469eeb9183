"""A zygote: Python with everything loaded that code usually wants, forked into a sandbox whenever that asks for it.

`python -m agentrun.emulator.launcher.zygote LAUNCHER EMULATOR`, two inherited descriptors. The launcher introduces
sandboxes, each by a number and with a line to its agent. On that line, or on the emulator's with a `sandbox`, is asked
`{"spawn": number, "cwd": folder}` and answered `{"spawn": number, "pid": pid}` with [control socket, stdout, stderr],
or `{"spawn": number, "error": reason}`; later `{"ended": number, "code": code}`. The emulator may also
`{"signal": number, "name": signal}` what it asked for. Nothing of a user ever runs here, only in what is forked.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from agentrun.emulator.guest.workers import python
from agentrun.emulator.launcher import kernel, packets
from agentrun.emulator.launcher.agent import enter_cgroups, set_environment
from agentrun.emulator.launcher.plan import NAMESPACES, Plan
from agentrun.emulator.launcher.reactor import Reactor
from agentrun.emulator.launcher.walls import Walls

PRELOADED = ("numpy", "pandas", "matplotlib.pyplot")
ABORTED = 70
# An agent that was taken over could ask without end; the cgroup counts what it has only after the fork.
MOST_INTERPRETERS = 64
GROWTH = 1.5
FORKS_BETWEEN_LOOKS = 500


@dataclass
class Sandbox:
    """A sandbox as the zygote knows it: its first process, the line to its agent, and the interpreters it has."""

    number: int
    process: int
    plan: Plan
    broker: socket.socket
    cgroups: tuple[int, ...]
    interpreters: set[int] = field(default_factory=set[int])

    def close(self) -> None:
        """Let go of it."""
        self.broker.close()
        for descriptor in (self.process, *self.cgroups):
            os.close(descriptor)


@dataclass(frozen=True)
class Request:
    """An interpreter that is asked for: in which sandbox, by whom, under which number, to work in which folder."""

    sandbox: Sandbox
    asker: socket.socket
    number: int
    folder: str

    def refuse(self, reason: str) -> None:
        """Tell why there is none."""
        _tell(self.asker, {"spawn": self.number, "error": reason})


class Zygote:
    """Forks interpreters and reaps them."""

    def __init__(self, launcher: socket.socket, emulator: socket.socket, reactor: Reactor) -> None:
        self._launcher = launcher
        self._emulator = emulator
        self._reactor = reactor
        self._walls = Walls()
        self._sandboxes: dict[int, Sandbox] = {}
        self._asked_by_emulator: dict[int, int] = {}
        self._retired = False
        self._forks = 0
        self._home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._size = _resident()
        reactor.add(launcher.fileno(), self._on_launcher)
        reactor.add(emulator.fileno(), self._on_emulator)

    # Who asks

    def _on_launcher(self) -> None:
        packet = packets.receive(self._launcher)
        if packet is None:
            sys.exit()
        if "retire" in packet.content:
            self._retired = True
            self._leave_when_idle()
        else:
            self._meet(packet)

    def _meet(self, packet: packets.Packet) -> None:
        broker, *cgroups = packet.descriptors
        try:
            process = kernel.pidfd_open(packet.content["pid"])
        except OSError:
            packet.close()
            return
        number, connection = packet.content["sandbox"], socket.socket(fileno=broker)
        sandbox = Sandbox(number, process, Plan.unpacked(packet.content["plan"]), connection, tuple(cgroups))
        self._sandboxes[number] = sandbox
        self._reactor.add(broker, lambda: self._on_agent(sandbox))

    def _on_agent(self, sandbox: Sandbox) -> None:
        try:
            packet = packets.receive(sandbox.broker)
        except (OSError, ValueError):
            packet = None
        if packet is None:
            self._forget(sandbox)
            return
        packet.close()
        number, folder = packet.content.get("spawn"), packet.content.get("cwd")
        if isinstance(number, int) and isinstance(folder, str):
            self._spawn(Request(sandbox, sandbox.broker, number, folder))

    def _on_emulator(self) -> None:
        packet = packets.receive(self._emulator)
        if packet is None:
            sys.exit()
        content = packet.content
        if "signal" in content:
            self._signal(content["signal"], content["name"])
        elif sandbox := self._find(content["sandbox"]):
            self._spawn(Request(sandbox, self._emulator, content["spawn"], content["cwd"]))
        else:
            _tell(self._emulator, {"spawn": content["spawn"], "error": "the sandbox has ended"})

    def _find(self, number: int) -> Sandbox | None:
        """A sandbox; the launcher's word about a new one may still wait to be heard."""
        if number not in self._sandboxes and select.select([self._launcher], [], [], 0)[0]:
            self._on_launcher()
        return self._sandboxes.get(number)

    def _forget(self, sandbox: Sandbox) -> None:
        self._reactor.remove(sandbox.broker.fileno())
        del self._sandboxes[sandbox.number]
        sandbox.close()
        self._leave_when_idle()

    def _leave_when_idle(self) -> None:
        if self._retired and not self._sandboxes:
            sys.exit()

    # What is forked

    def _spawn(self, request: Request) -> None:
        if len(request.sandbox.interpreters) >= MOST_INTERPRETERS:
            request.refuse(f"there are {MOST_INTERPRETERS} Python interpreters already")
            return
        try:
            self._fork(request)
        except OSError as error:
            request.refuse(str(error))
        self._look_at_size()

    def _fork(self, request: Request) -> None:
        walled = request.sandbox.plan.walls == NAMESPACES
        if walled:
            kernel.setns(request.sandbox.process, kernel.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            Interpreter(request, self._walls).become()
        if walled:
            kernel.setns(self._home, kernel.CLONE_NEWPID)
        process = kernel.pidfd_open(pid)
        request.sandbox.interpreters.add(pid)
        if request.asker is self._emulator:
            self._asked_by_emulator[request.number] = pid
        self._reactor.add(process, lambda: self._on_end(request, pid, process))

    def _on_end(self, request: Request, pid: int, process: int) -> None:
        self._reactor.remove(process)
        os.close(process)
        _, status = os.waitpid(pid, 0)
        request.sandbox.interpreters.discard(pid)
        if request.asker is self._emulator:
            self._asked_by_emulator.pop(request.number, None)
        if request.asker.fileno() >= 0:
            _tell(request.asker, {"ended": request.number, "code": os.waitstatus_to_exitcode(status)})

    def _signal(self, number: int, name: str) -> None:
        """Signal the process group of an interpreter that the emulator asked for."""
        if pid := self._asked_by_emulator.get(number):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.Signals[name])

    def _look_at_size(self) -> None:
        self._forks += 1
        if self._forks % FORKS_BETWEEN_LOOKS == 0 and _resident() > self._size * GROWTH:
            packets.send(self._launcher, {"grown": _resident()})


class Interpreter:
    """The child's side of a fork."""

    def __init__(self, request: Request, walls: Walls) -> None:
        self._request = request
        self._walls = walls

    def become(self) -> NoReturn:
        """Confine this process, which was just forked, and execute code until nobody wants it any more."""
        request = self._request
        try:
            near, far = socket.socketpair()
            outputs = os.pipe(), os.pipe()
            self._confine({near.fileno(), far.fileno(), request.asker.fileno(), *outputs[0], *outputs[1]})
            os.chdir(request.folder)
            descriptors = [far.fileno(), outputs[0][0], outputs[1][0]]
            packets.send(request.asker, {"spawn": request.number, "pid": os.getpid()}, descriptors)
            _redirect([writer for _, writer in outputs], near.fileno())
        except BaseException as error:
            request.refuse(f"{type(error).__name__}: {error}")
            os._exit(ABORTED)
        with contextlib.suppress(BaseException):
            python.serve(near)
        os._exit(0)

    def _confine(self, kept: set[int]) -> None:
        sandbox = self._request.sandbox
        os.setsid()
        enter_cgroups(sandbox.cgroups)
        self._walls.join(sandbox.plan, sandbox.process)
        set_environment({**sandbox.plan.environment, **python.ENVIRONMENT})
        self._walls.lower_rights(sandbox.plan, kept, traceable=True)


def _redirect(outputs: Sequence[int], kept: int) -> None:
    """Write to the pipes, read nothing, and keep only what this interpreter is controlled by."""
    for number, descriptor in zip((1, 2), outputs, strict=True):
        os.dup2(descriptor, number)
    kernel.close_descriptors_except({0, 1, 2, kept})


def _tell(asker: socket.socket, content: dict[str, Any]) -> None:
    # Never wait for an agent that does not listen; it may be one that was taken over.
    with contextlib.suppress(OSError):
        asker.setblocking(False)
        packets.send(asker, content)


def _resident() -> int:
    """The memory of this process in pages."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])


def main() -> None:
    """Load everything, then fork on demand until the launcher is gone."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    python.prepare(PRELOADED)
    reactor = Reactor()
    launcher, emulator = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    Zygote(launcher, emulator, reactor)
    gc.collect()
    gc.freeze()
    kernel.collapse_private_memory()
    reactor.run()


if __name__ == "__main__":
    main()
