"""The launcher's zygotes: starts one, replaces it when it ends or is tired, and tells it of every sandbox."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentrun.emulator.launcher import packets
from agentrun.emulator.launcher.reactor import Reactor

MODULE = "agentrun.emulator.launcher.zygote"
# Seconds between two starts at least: one that cannot even start would burn the machine.
SHORTEST_LIFE = 1.0
# OpenBLAS would start a thread per core, and threads do not survive a fork.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}


class Zygotes:
    """The present zygote; former ones live until their last sandbox has gone.

    `emulator` gets the other end of a line to each of them, on which it can ask for interpreters itself. `bereave` is
    called when one has ended: what it forked has lost its parent.
    """

    def __init__(self, reactor: Reactor, emulator: socket.socket, bereave: Callable[[], None]) -> None:
        self._reactor = reactor
        self._emulator = emulator
        self._bereave = bereave
        self._processes: set[int] = set()
        self._present: socket.socket | None = None
        self._coming: socket.socket | None = None
        self._started = 0.0
        self._start()

    @property
    def processes(self) -> frozenset[int]:
        """The ids of all that run."""
        return frozenset(self._processes)

    def introduce(
        self, number: int, pid: int, plan: Mapping[str, Any], broker: socket.socket, cgroups: Sequence[int]
    ) -> None:
        """Tell the zygote of a new sandbox by its first process; without a zygote its agent sees a closed line."""
        zygote = self._present or self._coming
        if zygote is None:
            return
        with contextlib.suppress(OSError):
            content = {"sandbox": number, "pid": pid, "plan": plan}
            packets.send(zygote, content, [broker.fileno(), *cgroups])

    def _start(self) -> None:
        """Start one; the present one goes on until it is ready."""
        near, far = packets.pair()
        line, end = packets.pair()
        with far, end:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(far.fileno()), str(end.fileno())],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                pass_fds=(far.fileno(), end.fileno()),
            )
        self._coming, self._started = near, time.monotonic()
        self._processes.add(process.pid)
        self._reactor.add(near.fileno(), lambda: self._on_news(near, line, process))

    def _on_news(self, connection: socket.socket, line: socket.socket, process: subprocess.Popen[bytes]) -> None:
        packet = packets.receive(connection)
        if packet is None:
            self._bury(connection, line, process)
        elif "ready" in packet.content:
            self._introduce_to_emulator(connection, line, process)
        elif connection is self._present and self._coming is None:
            self._start()  # It is tired.

    def _introduce_to_emulator(
        self, connection: socket.socket, line: socket.socket, process: subprocess.Popen[bytes]
    ) -> None:
        with line:
            packets.send(self._emulator, {"zygote": process.pid}, [line.fileno()])
        former, self._present, self._coming = self._present, connection, None
        if former is not None:
            packets.send(former, {"retire": True})

    def _bury(self, connection: socket.socket, line: socket.socket, process: subprocess.Popen[bytes]) -> None:
        """Clear away one that has ended, and start another one if it was of use."""
        self._reactor.remove(connection.fileno())
        connection.close()
        line.close()
        process.wait()
        self._processes.discard(process.pid)
        self._bereave()
        if connection is self._present:
            self._present = None
        elif connection is self._coming:
            self._coming = None
        else:
            return
        if self._coming is None:
            lived = time.monotonic() - self._started
            self._reactor.call_later(max(0.0, SHORTEST_LIFE - lived), self._start)
