"""A zygote: Python with everything loaded that code usually wants, forked into a sandbox whenever that asks for it.

`python -m agentrun.emulator.launcher.zygote LAUNCHER EMULATOR`, two inherited descriptors. Requests come on two ways:

- from agents, on lines that the launcher introduces: `{"spawn": number, "cwd": folder}` for an interpreter beside them,
  and `{"continue": number}` when what is there already may have stopped it before it could answer;
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
from dataclasses import dataclass, field
from typing import Any

from agentrun.emulator.guest.workers import python
from agentrun.emulator.launcher import heap, hot_pages, kernel, packets, rehearsal
from agentrun.emulator.launcher.interpreter import Interpreter, Request
from agentrun.emulator.launcher.plan import Plan
from agentrun.emulator.launcher.reactor import Reactor
from agentrun.emulator.launcher.walls import SHARED, Walls

PRELOADED = ("numpy", "pandas", "matplotlib.pyplot")
# An agent that was taken over could ask without end; the cgroup counts what it has only after the fork.
MOST_INTERPRETERS = 64
GROWTH = 1.5
FORKS_BETWEEN_LOOKS = 500
# The more of what was forked lives, the longer a fork takes, and from a thousand on it copies ordinary pages as well.
MOST_CHILDREN = 400


@dataclass
class Sandbox:
    """A sandbox as the zygote knows it: its first process, the line to its agent, and the interpreters it has.

    Those are process ids by the numbers under which they were asked for.
    """

    number: int
    process: int
    plan: Plan
    broker: socket.socket
    cgroups: tuple[int, ...]
    interpreters: dict[int, int] = field(default_factory=dict[int, int])

    def close(self) -> None:
        """Let go of it."""
        self.broker.close()
        for descriptor in (self.process, *self.cgroups):
            os.close(descriptor)


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
        self._children = 0
        self._tired = False
        self._home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._size = _resident()

    def serve(self) -> None:
        """Tell that everything is loaded, and go on until the launcher is gone."""
        packets.send(self._launcher, {"ready": True})
        self._reactor.add(self._launcher.fileno(), self._on_launcher)
        self._reactor.add(self._emulator.fileno(), self._on_emulator)
        self._reactor.run()

    def arrange_memory(self) -> None:
        """Make forks cheap; what the kernel cannot do for that is left out."""
        heap.fill_gaps()
        with contextlib.suppress(OSError):
            pages = rehearsal.hot_pages(self._spawn_outside, self._reactor.turn)
            if kernel.collapse_private_memory():
                hot_pages.copy_with_forks(pages)

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
        number, folder, waiting = (packet.content.get(name) for name in ("spawn", "cwd", "continue"))
        if isinstance(number, int) and isinstance(folder, str):
            self._spawn_beside(sandbox, number, folder)
        elif isinstance(waiting, int) and waiting in sandbox.interpreters:
            os.kill(sandbox.interpreters[waiting], signal.SIGCONT)

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
        namespaces, cgroups = given[:count], given[count:]
        request = Request(self._emulator, content["spawn"], plan.home, plan, cgroups, namespaces=namespaces)
        self._spawn_outside(request)
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
        elif number in sandbox.interpreters:
            request.refuse(f"number {number} is taken")
        else:
            self._spawn(request, sandbox.interpreters)

    def _spawn_outside(self, request: Request) -> None:
        self._spawn(request, self._asked_by_emulator)

    def _spawn(self, request: Request, family: dict[int, int]) -> None:
        try:
            pid = self._fork(request)
        except OSError as error:
            request.refuse(str(error))
            return
        family[request.number] = pid
        process = kernel.pidfd_open(pid)
        self._reactor.add(process, lambda: self._on_end(request, pid, process, family))
        self._forks += 1
        self._children += 1
        if not self._tired and (self._children >= MOST_CHILDREN or self._has_grown()):
            self._tired = True
            packets.send(self._launcher, {"tired": self._children})

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

    def _on_end(self, request: Request, pid: int, process: int, family: dict[int, int]) -> None:
        self._reactor.remove(process)
        os.close(process)
        _, status = os.waitpid(pid, 0)
        self._children -= 1
        del family[request.number]
        if request.asker.fileno() >= 0:
            request.tell({"ended": request.number, "code": os.waitstatus_to_exitcode(status)})
        self._leave_when_idle()

    def _signal(self, number: int, name: str) -> None:
        """Signal the process group of an interpreter that the emulator asked for."""
        if pid := self._asked_by_emulator.get(number):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.Signals[name])

    def _has_grown(self) -> bool:
        return self._forks % FORKS_BETWEEN_LOOKS == 0 and _resident() > self._size * GROWTH


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
    with heap.in_one_piece():
        python.prepare(PRELOADED)
    reactor = Reactor()
    launcher, emulator = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    zygote = Zygote(launcher, emulator, reactor)
    gc.collect()
    gc.freeze()
    zygote.arrange_memory()
    zygote.serve()


if __name__ == "__main__":
    main()
