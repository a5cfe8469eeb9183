"""The pages that are written to after every fork: copied by the fork itself, all at once.

Otherwise each side gets a copy of its own at its first write, with a fault for each page: half of what a sandbox costs.
The kernel copies at the fork what is pinned, because the device that pinned it must go on seeing the same memory. The
pin here is a buffer registered with an io_uring on which nothing is ever done.

A page of ordinary size counts as pinned also when it is in more than a thousand processes, once anything was. So this
is for a process whose memory is in huge pages, and that does not have so many children.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
from array import array
from collections.abc import Generator, Iterable, Sequence
from itertools import groupby
from typing import Final

from agentrun.emulator.launcher import kernel

# The same on x86_64 and aarch64.
_SYS_IO_URING_SETUP: Final = 425
_SYS_IO_URING_REGISTER: Final = 427
_REGISTER_BUFFERS: Final = 0
_PARAMETERS_BYTES: Final = 120

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_ENTRY_BYTES: Final = 8
# Of an entry of the page map: it is in memory, it is of a file, nobody else has it.
_PRESENT, _OF_FILE, _ALONE = 1 << 63, 1 << 61, 1 << 56
# What more there was would not be the work of a fork, and to copy it would be no help.
_MOST_BYTES: Final = 16 << 20

Span = tuple[int, int]  # the address of some memory, and its length in bytes


def private_memory() -> list[Span]:
    """The memory of this process of which a fork makes copies."""
    with open("/proc/self/maps") as file:
        lines = [line.split(maxsplit=2) for line in file]
    bounds = [addresses.split("-") for addresses, permissions, _ in lines if permissions == "rw-p"]
    return [(int(start, 16), int(end, 16) - int(start, 16)) for start, end in bounds]


def written(memory: Iterable[Span]) -> list[Span]:
    """What of this memory this process or its child has written to since it was forked; there must be only one."""
    with open("/proc/self/pagemap", "rb", buffering=0) as page_map:
        return [span for start, length in memory for span in _alone(page_map.fileno(), start, length)]


def _alone(page_map: int, start: int, length: int) -> Generator[Span]:
    entries = array("Q", os.pread(page_map, length // _PAGE * _ENTRY_BYTES, start // _PAGE * _ENTRY_BYTES))
    address = start
    for alone, group in groupby(entries, lambda entry: entry & (_PRESENT | _OF_FILE | _ALONE) == _PRESENT | _ALONE):
        size = sum(1 for _ in group) * _PAGE
        if alone:
            yield address, size
        address += size


def copy_with_forks(pages: Sequence[Span]) -> None:
    """Have every fork from now on copy these pages; OSError where the kernel does not let us."""
    if sum(length for _, length in pages) > _MOST_BYTES:
        raise OSError(f"more than {_MOST_BYTES} bytes are written to after a fork")
    _take_out(pages)
    _pin(pages)


def _take_out(pages: Iterable[Span]) -> None:
    """Give pages that are part of huge ones a place of their own; else the whole huge page would be pinned."""
    with _child():
        for address, length in pages:
            kernel.populate_for_writing(address, length)


@contextlib.contextmanager
def _child() -> Generator[None]:
    """A fork that only is there, so that what is written to meanwhile is copied."""
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _pin(pages: Sequence[Span]) -> None:
    """The pin lasts as long as this process: nobody closes the ring, and forks close what they do not need."""
    parameters = ctypes.create_string_buffer(_PARAMETERS_BYTES)
    ring = kernel.system_call("io_uring_setup", _SYS_IO_URING_SETUP, 1, ctypes.addressof(parameters))
    buffers = ctypes.create_string_buffer(b"".join(struct.pack("QQ", *span) for span in pages))
    arguments = ring, _REGISTER_BUFFERS, ctypes.addressof(buffers), len(pages)
    try:
        kernel.system_call("io_uring_register", _SYS_IO_URING_REGISTER, *arguments)
    except OSError:
        os.close(ring)
        raise
