"""A zygote: Python with everything loaded that code usually wants, forked into a sandbox whenever that asks for it.

`python -m agentrun.emulator.launcher.zygote LAUNCHER EMULATOR`, two inherited descriptors. Requests come on two ways:

- from agents, on lines that the launcher introduces: `{"spawn": number, "cwd": folder}` for an interpreter beside them;
- from the emulator: `{"spawn": number, "plan": {...}}` with [namespaces..., cgroups...] for one with process ids of its
  own in a sandbox that exists, or with `"fresh": true` and [cgroups...] for the first one of a new sandbox.

The answer is `{"spawn": number, "pid": pid}` with [control socket, stdout, stderr], for the emulator followed by [the
process], and for a fresh sandbox by [namespaces..., a listening socket for each forward]; or `{"spawn": number,
"error": reason}`. Later comes `{"ended": number, "code": code}`. The emulator may `{"signal": number, "name": signal}`
what it asked for. Nothing of a user ever runs here, only in what is forked.
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

from agentrun.emulator.guest.forwards import listen_inside
from agentrun.emulator.guest.workers import python
from agentrun.emulator.launcher import kernel, packets
from agentrun.emulator.launcher.agent import enter_cgroups, set_environment
from agentrun.emulator.launcher.plan import Plan
from agentrun.emulator.launcher.reactor import Reactor
from agentrun.emulator.launcher.walls import SHARED, Walls, open_namespaces

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
    """An interpreter that is asked for: by whom, under which number, to work in which folder.

    It goes beside the process `beside`, or into `namespaces`, or begins a sandbox when there is neither.
    """

    asker: socket.socket
    number: int
    folder: str
    plan: Plan
    cgroups: tuple[int, ...]
    beside: int | None = None
    namespaces: tuple[int, ...] = ()

    @property
    def remote(self) -> bool:
        """Whether the asker is outside, and needs more to reach it."""
        return self.beside is None

    def refuse(self, reason: str) -> None:
        """Tell why there is none."""
        _tell(self.asker, {"spawn": self.number, "error": reason})


class Zygote:
    """Forks interpreters and reaps them."""

    def __init__(self, launcher: socket.socket, emulator: socket.socket, reactor: Reactor) -> None:
        self._launcher = launcher
        self._emulator = emulator
        self._reactor = reactor
        self._walls = Walls(bounded=True)
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
        asked: Any = packet.content
        if not isinstance(asked, dict):
            return
        number, folder = packet.content.get("spawn"), packet.content.get("cwd")
        if isinstance(number, int) and isinstance(folder, str):
            self._spawn_beside(sandbox, number, folder)

    def _on_emulator(self) -> None:
        packet = packets.receive(self._emulator)
        if packet is None:
            sys.exit()
        content = packet.content
        if "signal" in content:
            self._signal(content["signal"], content["name"])
            return
        plan, given = Plan.unpacked(content["plan"]), tuple(packet.descriptors)
        count = 0 if content.get("fresh") else len(SHARED)
        self._spawn(Request(self._emulator, content["spawn"], plan.home, plan, given[count:], namespaces=given[:count]))
        packet.close()

    def _forget(self, sandbox: Sandbox) -> None:
        self._reactor.remove(sandbox.broker.fileno())
        del self._sandboxes[sandbox.number]
        sandbox.close()
        self._leave_when_idle()

    def _leave_when_idle(self) -> None:
        if self._retired and not self._sandboxes and not self._asked_by_emulator:
            sys.exit()

    # What is forked

    def _spawn_beside(self, sandbox: Sandbox, number: int, folder: str) -> None:
        request = Request(sandbox.broker, number, folder, sandbox.plan, sandbox.cgroups, beside=sandbox.process)
        if len(sandbox.interpreters) >= MOST_INTERPRETERS:
            request.refuse(f"there are {MOST_INTERPRETERS} Python interpreters already")
        else:
            self._spawn(request, sandbox.interpreters)

    def _spawn(self, request: Request, family: set[int] | None = None) -> None:
        try:
            pid = self._fork(request)
        except OSError as error:
            request.refuse(str(error))
            return
        if family is None:
            self._asked_by_emulator[request.number] = pid
        else:
            family.add(pid)
        process = kernel.pidfd_open(pid)
        self._reactor.add(process, lambda: self._on_end(request, pid, process, family))
        self._look_at_size()

    def _fork(self, request: Request) -> int:
        if request.beside is None:
            kernel.unshare(kernel.CLONE_NEWPID)
        else:
            kernel.setns(request.beside, kernel.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            Interpreter(request, self._walls).become()
        kernel.setns(self._home, kernel.CLONE_NEWPID)
        return pid

    def _on_end(self, request: Request, pid: int, process: int, family: set[int] | None) -> None:
        self._reactor.remove(process)
        os.close(process)
        _, status = os.waitpid(pid, 0)
        if family is None:
            del self._asked_by_emulator[request.number]
        else:
            family.discard(pid)
        if request.asker.fileno() >= 0:
            _tell(request.asker, {"ended": request.number, "code": os.waitstatus_to_exitcode(status)})
        self._leave_when_idle()

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
            given = [far.fileno(), outputs[0][0], outputs[1][0]]
            if request.remote:
                given.append(kernel.pidfd_open(os.getpid()))
            given += self._find_place()
            writers = [writer for _, writer in outputs]
            self._confine({near.fileno(), request.asker.fileno(), *given, *writers})
            os.chdir(request.folder)
            packets.send(request.asker, {"spawn": request.number, "pid": os.getpid()}, given)
            _redirect(writers, near.fileno())
        except BaseException as error:
            request.refuse(f"{type(error).__name__}: {error}")
            os._exit(ABORTED)
        with contextlib.suppress(BaseException):
            python.serve(near)
        os._exit(0)

    def _find_place(self) -> list[int]:
        """Go where this one belongs; what others need to come after it."""
        request = self._request
        os.setsid()
        enter_cgroups(request.cgroups)
        if request.beside is not None:
            self._walls.join(request.plan, request.beside)
            return []
        if request.namespaces:
            self._walls.enter(request.plan, request.namespaces)
            return []
        self._walls.raise_around(request.plan)
        shared = [*open_namespaces(), *(listen_inside(port).detach() for port, _ in request.plan.forwards)]
        self._walls.nest(request.plan)
        return shared

    def _confine(self, kept: set[int]) -> None:
        set_environment({**self._request.plan.environment, **python.ENVIRONMENT})
        self._walls.lower_rights(self._request.plan, kept, traceable=True)


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
    kernel.drop_bounding_set()  # It executes nothing, and so loses nothing.
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
