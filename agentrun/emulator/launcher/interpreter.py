"""What a zygote's child becomes: a Python interpreter in the sandbox of whoever asked for it.

It begins a sandbox, joins one as the first of a process id namespace of its own, or stands beside a sandbox's agent.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from agentrun.emulator.guest.doors import listen_inside
from agentrun.emulator.guest.workers import python
from agentrun.emulator.launcher import kernel, packets
from agentrun.emulator.launcher.plan import Plan
from agentrun.emulator.launcher.walls import Walls, enter_cgroups, open_namespaces, set_environment

ABORTED = 70


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
        self.tell({"spawn": self.number, "error": reason})

    def tell(self, content: Mapping[str, Any]) -> None:
        """Tell the asker, and never wait for one that does not listen; it may be an agent that was taken over."""
        with contextlib.suppress(OSError):
            self.asker.setblocking(False)
            packets.send(self.asker, content)


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
