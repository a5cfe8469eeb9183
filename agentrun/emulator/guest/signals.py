"""Signals: named as requests name them, and sent to whole groups or sessions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

from agentrun.emulator.guest import proctable
from agentrun.emulator.guest.errors import BadRequest, Forbidden, NotFound

GONE_WAIT = 2.0
GONE_POLL = 0.005


def parse(text: str | int) -> signal.Signals:
    """A signal by name, with or without SIG, or by number."""
    name = str(text).upper()
    try:
        if name.isdecimal():
            return signal.Signals(int(name))
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"]
    except (ValueError, KeyError):
        raise BadRequest(f"there is no signal {text!r}: use a name such as SIGTERM, or a number") from None


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process, and its group when it leads one.

    Raises NotFound when it does not run in the sandbox, Forbidden when it is the sandbox's own or another user's.
    """
    if proctable.is_agent(pid):
        raise Forbidden(f"process {pid} is the sandbox itself: stop the sandbox instead")
    if proctable.find(pid) is None:
        raise NotFound(f"process {pid} does not exist")
    try:
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, number)
    except PermissionError:
        raise Forbidden(f"process {pid} belongs to another user") from None


async def end(pid: int, number: signal.Signals) -> bool:
    """Signal a process and wait a moment for its end; whether it has ended. Raises as `send` does."""
    send(pid, number)
    until = time.monotonic() + GONE_WAIT
    while proctable.runs(pid):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(GONE_POLL)
    return True


def kill_session(leader: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal everything that a command has started, in whatever groups; its leader may have ended already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
    for pid in proctable.members(leader):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def exit_code(status: int) -> int:
    """As a shell tells it: 128 and the signal's number for what was ended by one."""
    return status if status >= 0 else 128 - status
