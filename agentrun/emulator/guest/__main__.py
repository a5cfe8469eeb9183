"""Serve a sandbox from inside: `python -m agentrun.emulator.guest [--socket PATH] [--line PATH] [--forward ...]`."""

from __future__ import annotations

import argparse
import ctypes
import os
import socket

from agentrun.emulator.guest.doors import listen_inside
from agentrun.emulator.guest.serving import serve
from agentrun.emulator.guest.sources import ExecSource

INHERITED_FD = 3
PR_SET_DUMPABLE = 4


def main() -> None:
    """Serve until SIGTERM, or with a line to the emulator until that is gone."""
    keep_others_out()
    parser = argparse.ArgumentParser(prog="agentrun.emulator.guest", description="Serve a sandbox from its inside.")
    parser.add_argument("--socket", help="the unix socket to make; without it the inherited descriptor 3 is served")
    parser.add_argument(
        "--forward",
        action="append",
        default=[],
        type=forward,
        metavar="PORT=PATH",
        help="a port of the loopback to be joined with a unix socket; may be given several times",
    )
    parser.add_argument("--line", help="a unix socket of the emulator, to whose end the connection is kept")
    options = parser.parse_args()
    forwards = [(listen_inside(port), path) for port, path in options.forward]
    line = call(options.line) if options.line else None
    serve(open_socket(options.socket), source=ExecSource(), lifeline=line, forwards=forwards)
    os._exit(0)


def keep_others_out() -> None:
    """Let no process of the same user trace this one, or read its memory and descriptors."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def forward(text: str) -> tuple[int, str]:
    """A port and what it leads to. Raises ValueError."""
    port, separator, path = text.partition("=")
    if not separator or not path.startswith("/"):
        raise ValueError(text)
    return int(port), path


def open_socket(path: str | None) -> socket.socket:
    """The socket to serve; children must not inherit it."""
    if path is None:
        os.set_inheritable(INHERITED_FD, False)
        return socket.socket(fileno=INHERITED_FD)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    return sock


def call(path: str) -> socket.socket:
    """A connection to a unix socket."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.connect(path)
    return line


if __name__ == "__main__":
    main()
