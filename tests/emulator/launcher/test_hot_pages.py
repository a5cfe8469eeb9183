"""Pages that are written to after forks: found, and copied by the fork itself."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from agentrun.emulator.launcher import hot_pages, kernel
from tests.emulator.launcher.children import as_both_users, in_child

PAGE = mmap.PAGESIZE
PAGES = 2048
HOT = tuple(range(3, PAGES, 4))


def memory() -> tuple[mmap.mmap, hot_pages.Span]:
    """Private memory that has been used, and where it is."""
    made = mmap.mmap(-1, PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    made.write(b"x" * len(made))
    return made, (ctypes.addressof(ctypes.c_char.from_buffer(made)), len(made))


def write(made: mmap.mmap) -> None:
    for page in HOT:
        made[page * PAGE] = 1


@contextmanager
def forked(action: Callable[[], None]) -> Generator[None]:
    """A child that has done something, and lives for as long as the block lasts."""
    done, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        action()
        os.write(tell, b".")
        while True:
            signal.pause()
    try:
        os.read(done, 1)
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def places(spans: list[hot_pages.Span], start: int) -> list[int]:
    return [(address - start) // PAGE + page for address, length in spans for page in range(length // PAGE)]


def test_what_a_child_writes_to_is_found() -> None:
    def act() -> list[int]:
        made, span = memory()
        with forked(lambda: write(made)):
            return places(hot_pages.written([span]), span[0])

    assert tuple(in_child(act)) == HOT


def test_what_the_parent_writes_to_is_found_too() -> None:
    def act() -> list[int]:
        made, span = memory()
        with forked(lambda: None):
            write(made)
            return places(hot_pages.written([span]), span[0])

    assert tuple(in_child(act)) == HOT


@as_both_users
def test_forks_copy_them_and_each_side_keeps_its_own(user: int | None) -> None:
    def act() -> tuple[int, int]:
        made, (start, _) = memory()
        kernel.collapse_private_memory()
        try:
            hot_pages.copy_with_forks([(start + page * PAGE, PAGE) for page in HOT])
        except OSError as error:
            return -(error.errno or 1), 0
        read, tell = os.pipe()
        if os.fork() == 0:
            before = faults()
            write(made)
            os.write(tell, str(faults() - before).encode())
            os._exit(0)
        counted = int(os.read(read, 9))
        os.wait()
        return counted, made[HOT[0] * PAGE]

    counted, kept = in_child(act, user)
    if counted < 0:
        pytest.skip(f"no io_uring here: {os.strerror(-counted)}")
    assert counted < len(HOT) / 4  # Python itself writes to some more.
    assert kept == ord("x")


def test_more_than_forks_could_touch_is_refused() -> None:
    with pytest.raises(OSError, match="are written to"):
        hot_pages.copy_with_forks([(0, 1 << 30)])


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
