"""The kernel's notices of changes to files, one call of it per method."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from agentrun.emulator.guest.errors import Exhausted, from_os_error
from agentrun.emulator.guest.paths import shown

MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF = 0x400, 0x800
UNMOUNT, OVERFLOW, IGNORED = 0x2000, 0x4000, 0x8000
ONLY_FOLDERS, NO_LINKS, IS_FOLDER = 0x1000000, 0x2000000, 0x40000000
CHANGES = MODIFY | ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
HEADER = struct.Struct("iIII")
BUFFER = 65536


@dataclass(frozen=True)
class Notice:
    """One change: which watch, what (a mask), the cookie that both halves of a move share, and the name if any."""

    watch: int
    mask: int
    cookie: int
    name: str


class Inotify:
    """One inotify instance. Raises Exhausted with the name of the limit when the kernel gives no more."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise Exhausted(_limit("max_user_instances"))

    def add(self, path: Path | str, *, folder: bool) -> int:
        """Watch a path; the same watch when it is watched already. Raises also what opening it would."""
        mask = CHANGES | (ONLY_FOLDERS | NO_LINKS if folder else 0)
        watch = self._library.inotify_add_watch(self.descriptor, os.fsencode(path), mask)
        if watch < 0:
            number = ctypes.get_errno()
            if number == errno.ENOSPC:
                raise Exhausted(_limit("max_user_watches"))
            raise from_os_error(OSError(number, os.strerror(number)), shown(path))
        return int(watch)

    def remove(self, watch: int) -> None:
        """Watch it no more."""
        self._library.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> list[Notice]:
        """What has happened; nothing when nothing has."""
        try:
            data = os.read(self.descriptor, BUFFER)
        except BlockingIOError:
            return []
        found: list[Notice] = []
        at = 0
        while at < len(data):
            watch, mask, cookie, length = HEADER.unpack_from(data, at)
            at += HEADER.size + length
            found.append(Notice(watch, mask, cookie, os.fsdecode(data[at - length : at].rstrip(b"\0"))))
        return found

    def close(self) -> None:
        """Let go of all watches."""
        os.close(self.descriptor)


def _limit(name: str) -> str:
    return f"the machine's limit fs.inotify.{name} is reached: end other watches, or raise it with sysctl on the host"
