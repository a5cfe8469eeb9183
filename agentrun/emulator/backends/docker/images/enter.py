"""The first program of a sandbox: opens its socket for whoever its folder lets in, and becomes the server.

usage: enter.py SOCKET COMMAND...        the command inherits the socket as descriptor 3
"""

from __future__ import annotations

import os
import socket
import sys

SERVING_FD = 3
OPEN, USUAL = 0o000, 0o022


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
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
