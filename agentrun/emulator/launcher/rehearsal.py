"""Make-believe sandboxes that a zygote begins before the first real one, to learn which pages a fork writes to."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path

from agentrun.emulator.launcher import packets
from agentrun.emulator.launcher.hot_pages import Span, private_memory, written
from agentrun.emulator.launcher.interpreter import Request
from agentrun.emulator.launcher.packets import Packet
from agentrun.emulator.launcher.plan import NAMESPACES, Plan

# The places of descriptors in what an interpreter sends.
CONTROL, PROCESS = 0, 3
SECONDS = 10.0
# Code that has run some times is specialised, and from then on writes less to itself.
TIMES = 4
NOBODY = 65534
TEMPORARY = "/tmp"
DISK = 16
LIMITS = {"RLIMIT_NOFILE": 1024, "RLIMIT_CORE": 0}
DOORS = ((3128, "egress"), (4590, "emulator"))


def hot_pages(spawn: Callable[[Request], None], turn: Callable[[], None]) -> list[Span]:
    """What both sides of a fork write to, until the child waits for code; OSError when there can be no sandbox.

    `spawn` forks, and `turn` waits for what is next to do and does it, which here is to reap.
    """
    for _ in range(TIMES):
        _end(_begin(spawn), turn)
    memory = private_memory()
    interpreter = _begin(spawn)
    try:
        return written(memory)
    finally:
        _end(interpreter, turn)


def _begin(spawn: Callable[[Request], None]) -> Packet:
    """The news of an interpreter that waits for code in a sandbox of its own."""
    near, far = packets.pair()
    with near, far:
        plan = _plan()
        spawn(Request(far, 0, plan.home, plan, ()))
        near.settimeout(SECONDS)
        packet = packets.receive(near)
    if packet is None or "error" in packet.content:
        raise OSError(f"no rehearsal: {packet and packet.content['error']}")
    with socket.socket(fileno=os.dup(packet.descriptors[CONTROL])) as control:
        _await_reader(control)
    return packet


def _await_reader(control: socket.socket) -> None:
    """Say something that changes nothing, and wait until it was read."""
    control.sendall(b'{"cwd": "."}\n')
    deadline = time.monotonic() + SECONDS
    while _unread(control) and time.monotonic() < deadline:
        time.sleep(0.001)


def _unread(connection: socket.socket) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
    return int(count)


def _end(interpreter: Packet, turn: Callable[[], None]) -> None:
    signal.pidfd_send_signal(interpreter.descriptors[PROCESS], signal.SIGKILL)
    interpreter.close()
    turn()


def _plan() -> Plan:
    home, environment = os.environ["HOME"], dict(os.environ)
    return Plan(NAMESPACES, home, TEMPORARY, _user(), disk=DISK, environment=environment, limits=LIMITS, forwards=DOORS)


def _user() -> int | None:
    """A user id of its own where there is one to give."""
    ids = [int(count) for *_, count in map(str.split, Path("/proc/self/uid_map").read_text().splitlines())]
    return NOBODY if sum(ids) > NOBODY else None
