"""What the launcher's child becomes: a sandbox's agent, which serves it from the inside.

It is the first process of its process id namespace, and everything that it starts, or has started beside it, ends with
it. A sandbox that only runs single pieces of code never needs one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from dataclasses import dataclass
from typing import NoReturn

from agentrun.emulator.guest.serving import serve
from agentrun.emulator.guest.sources import BrokerSource
from agentrun.emulator.launcher import kernel, packets
from agentrun.emulator.launcher.plan import Plan
from agentrun.emulator.launcher.walls import Walls, enter_cgroups, set_environment

ABORTED = 70


@dataclass(frozen=True)
class Descriptors:
    """What an agent inherits: the socket it serves on, its lines to the emulator and to the zygote, its place.

    `namespaces` are those of its sandbox, none where there are none.
    """

    listening: int
    lifeline: int
    broker: int
    namespaces: tuple[int, ...]
    cgroups: tuple[int, ...]


def become(plan: Plan, inherited: Descriptors, walls: Walls) -> NoReturn:
    """Confine this process, which was just forked, and serve until the sandbox ends."""
    lifeline = socket.socket(fileno=inherited.lifeline)
    try:
        _confine(plan, inherited, walls)
    except BaseException as error:
        _report(lifeline, error)
    try:
        serve(
            socket.socket(fileno=inherited.listening),
            source=BrokerSource(socket.socket(fileno=inherited.broker)),
            lifeline=lifeline,
        )
    except BaseException:
        traceback.print_exc()
        os._exit(ABORTED)
    os._exit(0)


def _confine(plan: Plan, inherited: Descriptors, walls: Walls) -> None:
    enter_cgroups(inherited.cgroups)
    if inherited.namespaces:
        walls.enter(plan, inherited.namespaces)
    set_environment(plan.environment)
    kept = (inherited.listening, inherited.lifeline, inherited.broker)
    walls.lower_rights(plan, kept, traceable=False)
    kernel.set_parent_death_signal()  # After the user has changed, which clears it.


def _report(lifeline: socket.socket, error: BaseException) -> NoReturn:
    with contextlib.suppress(OSError):
        packets.send(lifeline, {"failed": f"{type(error).__name__}: {error}"})
    os._exit(ABORTED)
