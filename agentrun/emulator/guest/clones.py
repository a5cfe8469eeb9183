"""Clones of interpreters: processes that this one did not start itself, and whose end it wants to know."""

from __future__ import annotations

import asyncio
import os


def watch(pid: int) -> asyncio.Future[int | None]:
    """A future of the exit code of a process, negative for a signal, None when only its parent can learn it.

    It stays open where the kernel cannot watch a process; then the end of the control socket has to do.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int | None] = loop.create_future()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        ended.set_result(None)
        return ended
    except (AttributeError, OSError):
        return ended

    def on_end() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        ended.set_result(_exit_code(pid))

    loop.add_reader(descriptor, on_end)
    return ended


def _exit_code(pid: int) -> int | None:
    """A clone's parent has left it, so it is a child of the agent, and nobody else waits for it."""
    try:
        gone, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if gone else None
