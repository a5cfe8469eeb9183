"""The first program of a sandbox: opens its socket for whoever its folder lets in, gives up rights, becomes the server.

usage: enter.py SOCKET COMMAND...        the command inherits the socket as descriptor 3

Beside it lies `filter`, the program for the kernel that says which system calls remain from here on.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from pathlib import Path

SERVING_FD = 3
OPEN, USUAL = 0o000, 0o022
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
INSTRUCTION_BYTES = 8


class Program(ctypes.Structure):
    """What the kernel takes as a filter."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def main() -> None:
    """Bind, then be the command. The umask alone decides who may connect, and code inside shall have the usual one."""
    _, path, *command = sys.argv
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(OPEN)
    listening.bind(path)
    os.umask(USUAL)
    if listening.fileno() != SERVING_FD:
        os.dup2(listening.fileno(), SERVING_FD)
    os.set_inheritable(SERVING_FD, True)
    confine(Path(__file__).with_name("filter").read_bytes())
    os.execv(command[0], command)


def confine(program: bytes) -> None:
    """Filter the system calls of this process and of all that it becomes or starts; the engine set no_new_privs."""
    library = ctypes.CDLL(None, use_errno=True)
    filtering = ctypes.byref(Program(len(program) // INSTRUCTION_BYTES, program))
    if library.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filtering, 0, 0):
        raise OSError(ctypes.get_errno(), "system calls cannot be filtered")


if __name__ == "__main__":
    main()
