"""A zygote: Python with everything loaded that code usually wants, forked into a sandbox whenever that asks for it.

`python -m agentrun.emulator.launcher.zygote FD`: on that socket the launcher introduces sandboxes, each with a line to
its agent. An agent asks `{"spawn": number, "cwd": folder}` and gets `{"spawn": number, "pid": pid}` with [control
socket, stdout, stderr], or `{"spawn": number, "error": reason}`; later `{"ended": number, "code": code}`. Nothing of a
user ever runs here, only in what is forked.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
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
class Ends:
    """The far ends of what an interpreter is spoken to by."""

    control: socket.socket
    stdout: int
    stderr: int


class Zygote:
    """Forks interpreters and reaps them."""

    def __init__(self, launcher: socket.socket, reactor: Reactor) -> None:
        self._launcher = launcher
        self._reactor = reactor
        self._walls = Walls()
        self._sandboxes: set[int] = set()
        self._retired = False
        self._forks = 0
        self._home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._size = _resident()
        reactor.add(launcher.fileno(), self._on_launcher)

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
            process = kernel.pidfd_open(packet.content["sandbox"])
        except OSError:
            packet.close()
            return
        connection = socket.socket(fileno=broker)
        sandbox = Sandbox(process, Plan.unpacked(packet.content["plan"]), connection, tuple(cgroups))
        self._sandboxes.add(process)
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
        self._spawn(sandbox, packet.content)

    def _forget(self, sandbox: Sandbox) -> None:
        self._reactor.remove(sandbox.broker.fileno())
        self._sandboxes.discard(sandbox.process)
        sandbox.close()
        self._leave_when_idle()

    def _leave_when_idle(self) -> None:
        if self._retired and not self._sandboxes:
            sys.exit()

    def _spawn(self, sandbox: Sandbox, request: dict[str, Any]) -> None:
        number, folder = request.get("spawn"), request.get("cwd")
        if not isinstance(number, int) or not isinstance(folder, str):
            return
        if len(sandbox.interpreters) >= MOST_INTERPRETERS:
            _tell(sandbox, {"spawn": number, "error": f"there are {MOST_INTERPRETERS} Python interpreters already"})
            return
        try:
            self._fork(sandbox, number, folder)
        except OSError as error:
            _tell(sandbox, {"spawn": number, "error": str(error)})
        self._look_at_size()

    def _fork(self, sandbox: Sandbox, number: int, folder: str) -> None:
        if sandbox.plan.walls == NAMESPACES:
            kernel.setns(sandbox.process, kernel.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            Interpreter(sandbox, self._walls).become(number, folder)
        if sandbox.plan.walls == NAMESPACES:
            kernel.setns(self._home, kernel.CLONE_NEWPID)
        process = kernel.pidfd_open(pid)
        sandbox.interpreters.add(pid)
        self._reactor.add(process, lambda: self._on_end(sandbox, number, pid, process))

    def _on_end(self, sandbox: Sandbox, number: int, pid: int, process: int) -> None:
        self._reactor.remove(process)
        os.close(process)
        _, status = os.waitpid(pid, 0)
        sandbox.interpreters.discard(pid)
        if sandbox.process in self._sandboxes:
            _tell(sandbox, {"ended": number, "code": os.waitstatus_to_exitcode(status)})

    def _look_at_size(self) -> None:
        self._forks += 1
        if self._forks % FORKS_BETWEEN_LOOKS == 0 and _resident() > self._size * GROWTH:
            packets.send(self._launcher, {"grown": _resident()})


class Interpreter:
    """The child's side of a fork."""

    def __init__(self, sandbox: Sandbox, walls: Walls) -> None:
        self._sandbox = sandbox
        self._walls = walls

    def become(self, number: int, folder: str) -> NoReturn:
        """Confine this process, which was just forked, and execute code until its agent has enough of it."""
        broker = self._sandbox.broker
        try:
            near, far = socket.socketpair()
            outputs = os.pipe(), os.pipe()
            self._confine({near.fileno(), far.fileno(), broker.fileno(), *outputs[0], *outputs[1]})
            os.chdir(folder)
            descriptors = [far.fileno(), outputs[0][0], outputs[1][0]]
            packets.send(broker, {"spawn": number, "pid": os.getpid()}, descriptors)
            _redirect([writer for _, writer in outputs], near.fileno())
        except BaseException as error:
            _tell(self._sandbox, {"spawn": number, "error": f"{type(error).__name__}: {error}"})
            os._exit(ABORTED)
        with contextlib.suppress(BaseException):
            python.serve(near)
        os._exit(0)

    def _confine(self, kept: set[int]) -> None:
        plan = self._sandbox.plan
        os.setsid()
        enter_cgroups(self._sandbox.cgroups)
        self._walls.join(plan, self._sandbox.process)
        set_environment({**plan.environment, **python.ENVIRONMENT})
        self._walls.lower_rights(plan, kept, traceable=True)


def _redirect(outputs: Sequence[int], kept: int) -> None:
    """Write to the pipes, read nothing, and keep only what this interpreter is controlled by."""
    for number, descriptor in zip((1, 2), outputs, strict=True):
        os.dup2(descriptor, number)
    kernel.close_descriptors_except({0, 1, 2, kept})


def _tell(sandbox: Sandbox, content: dict[str, Any]) -> None:
    # Never wait for an agent that does not listen; it may be one that was taken over.
    with contextlib.suppress(OSError):
        sandbox.broker.setblocking(False)
        packets.send(sandbox.broker, content)


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
    Zygote(socket.socket(fileno=int(sys.argv[1])), reactor)
    gc.collect()
    gc.freeze()
    kernel.collapse_private_memory()
    reactor.run()


if __name__ == "__main__":
    main()
