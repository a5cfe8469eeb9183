"""The launcher: `python -m agentrun.emulator.launcher WALLS`, commanded over the socket it inherits as descriptor 0.

Commands: `{"start": number, "plan": {...}}` with the descriptors [listening socket, lifeline, namespaces...,
cgroups...] forks the agent of a sandbox, answered by `{"started": number, "pid": pid}`; `{"stop": number}` kills it.
Whenever one has ended `{"ended": number, "code": code}` is sent, and for every zygote that starts `{"zygote": pid}`
with a line to it. The end of the socket ends the launcher, and with it all that was forked.

With namespaces the kernel ends everything in a sandbox together with its first process. Without them the launcher
inherits what an agent leaves and ends it, and there is no zygote: nobody could signal what it forks.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import sys
from dataclasses import dataclass
from typing import NoReturn

from agentrun.emulator.guest.rehearsal import rehearse
from agentrun.emulator.launcher import agent, kernel, packets
from agentrun.emulator.launcher.plan import NAMESPACES, Plan
from agentrun.emulator.launcher.reactor import Reactor
from agentrun.emulator.launcher.walls import SHARED, Walls
from agentrun.emulator.launcher.zygotes import Zygotes

COMMANDS_FD = 0


@dataclass(frozen=True)
class Started:
    """The agent of one sandbox."""

    pid: int
    process: int


class Launcher:
    """Forks agents and reaps them."""

    def __init__(self, commands: socket.socket, reactor: Reactor, *, with_zygotes: bool) -> None:
        self._commands = commands
        self._reactor = reactor
        self._walls = Walls()
        self._started: dict[int, Started] = {}
        self._home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._zygotes = Zygotes(reactor, commands, self._end_orphans) if with_zygotes else None
        reactor.add(commands.fileno(), self._on_command)

    def _on_command(self) -> None:
        packet = packets.receive(self._commands)
        if packet is None:
            self._leave()
        if "start" in packet.content:
            self._start(packet)
        elif started := self._started.get(packet.content["stop"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(started.pid, signal.SIGKILL)

    def _start(self, packet: packets.Packet) -> None:
        number, plan = packet.content["start"], Plan.unpacked(packet.content["plan"])
        listening, lifeline, *place = packet.descriptors
        count = len(SHARED) if plan.walls == NAMESPACES else 0
        namespaces, cgroups = tuple(place[:count]), tuple(place[count:])
        near, far = packets.pair()
        inherited = agent.Descriptors(listening, lifeline, far.fileno(), namespaces, cgroups)
        try:
            pid = self._fork(plan, inherited)
            if self._zygotes is not None:
                self._zygotes.introduce(number, pid, packet.content["plan"], near, cgroups)
            process = kernel.pidfd_open(pid)
        finally:
            packet.close()
            near.close()
            far.close()
        self._started[number] = Started(pid, process)
        self._reactor.add(process, lambda: self._on_end(number))
        # Where process ids differ from the emulator's, it learns the right one from the descriptor.
        packets.send(self._commands, {"started": number, "pid": pid}, [process] if plan.walls == NAMESPACES else [])

    def _fork(self, plan: Plan, inherited: agent.Descriptors) -> int:
        if plan.walls == NAMESPACES:
            kernel.unshare(kernel.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            agent.become(plan, inherited, self._walls)
        if plan.walls == NAMESPACES:
            kernel.setns(self._home, kernel.CLONE_NEWPID)
        return pid

    def _on_end(self, number: int) -> None:
        started = self._started.pop(number)
        self._reactor.remove(started.process)
        os.close(started.process)
        _, status = os.waitpid(started.pid, 0)
        if self._zygotes is None:
            self._end_orphans()
        packets.send(self._commands, {"ended": number, "code": os.waitstatus_to_exitcode(status)})

    def _leave(self) -> NoReturn:
        """End; the kernel ends the agents with us, and all that their namespaces hold."""
        if self._zygotes is None:
            self._started.clear()
            self._end_orphans()
        sys.exit()

    def _end_orphans(self) -> None:
        """Kill whatever is our child by inheritance, until nothing new has been orphaned by that."""
        own = {started.pid for started in self._started.values()}
        own |= self._zygotes.processes if self._zygotes is not None else set()
        while orphans := _children() - own:
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
            for pid in orphans:
                os.waitpid(pid, 0)


def _fall_first() -> None:
    """When the machine runs out of memory, sandboxes are what the kernel shall end, not what made them.

    Everything that is forked from here inherits it.
    """
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("900")


def _children() -> set[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return {int(pid) for pid in file.read().split()}


def main(walls: str) -> None:
    """Load what agents need, start the zygotes and obey until the emulator is gone."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reactor = Reactor()
    commands = socket.socket(fileno=COMMANDS_FD)
    if walls != NAMESPACES:
        kernel.set_child_subreaper()
    _fall_first()
    Launcher(commands, reactor, with_zygotes=walls == NAMESPACES)
    rehearse()
    gc.collect()
    gc.freeze()
    kernel.collapse_private_memory()
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
