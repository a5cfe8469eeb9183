"""Child processes: how their ends are learnt, and who takes care of orphans.

The agent is the first process of its sandbox, or made to be the one that orphans go to. An orphan has to be reaped, or
it stays as a zombie and counts against the limit of processes; a child that somebody here waits for must not be, or its
exit code would be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
# For a child that was started without this loop: whoever did that may still ask for its exit code.
PATIENCE = 1.0
MOST_DISPENSABLE = "1000"


class AgentLoop(asyncio.SelectorEventLoop):
    """An event loop that knows which children it waits for itself; when memory is short, they fall before the agent."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited: set[int] = set()
        self.starting = 0

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        """Start a child and remember its id until it has ended."""
        self.starting += 1
        try:
            transport, protocol = await super().subprocess_exec(*args, **kwargs)
            self.awaited.add(transport.get_pid())
            _fall_first(transport.get_pid())
            return transport, protocol
        finally:
            self.starting -= 1


def watch_without_threads() -> None:
    """Before Python 3.12 asyncio starts a thread per child, which fails when a fork bomb has used up all processes."""
    if sys.version_info < (3, 12) and _has_pidfds():
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.set_child_watcher(watcher)  # pyright: ignore[reportDeprecated]  # only where it is not yet


def _has_pidfds() -> bool:
    """Whether processes can be had as descriptors; gVisor has none."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def adopt_orphans() -> None:
    """Become the one that orphans go to; the first process of a pid namespace is that already."""
    if os.getpid() != 1:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(loop: AgentLoop) -> None:
    """Reap from now on every child that the loop does not wait for, as soon as it ends."""
    loop.add_signal_handler(signal.SIGCHLD, _reap, loop)


def kill_descendants() -> None:
    """What the kernel does when the first process of a namespace ends: end everything, however deep."""
    while pids := list(_children()):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _fall_first(pid: int) -> None:
    """Without the agent a sandbox is lost, without a child only what that did."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "w") as file:
        file.write(MOST_DISPENSABLE)


def _reap(loop: AgentLoop) -> None:
    if _nothing_ended():
        return
    if loop.starting:
        loop.call_later(PATIENCE / 20, _reap, loop)
        return
    children = set(_children())
    loop.awaited &= children
    for pid in children - loop.awaited:
        if _is_session_leader(pid):
            loop.call_later(PATIENCE, _reap_one, loop, pid)
        else:
            _reap_one(loop, pid)


def _nothing_ended() -> bool:
    """Whether there is no zombie at all; asyncio has often taken care of it before we look."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return True


def _reap_one(loop: AgentLoop, pid: int) -> None:
    if pid not in loop.awaited:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _is_session_leader(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) == pid
    return False


def _children() -> Iterator[int]:
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{thread}/children") as listing:
            yield from map(int, listing.read().split())
