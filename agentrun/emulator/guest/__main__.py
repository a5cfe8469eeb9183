"""Serve a sandbox from its inside: `python -m agentrun.emulator.guest [--socket PATH] [--forward PORT=PATH]`."""

from __future__ import annotations

import argparse
import os
import socket

from agentrun.emulator.guest.doors import listen_inside
from agentrun.emulator.guest.serving import serve
from agentrun.emulator.guest.sources import ExecSource

INHERITED_FD = 3


def main() -> None:
    """Serve until SIGTERM."""
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
    options = parser.parse_args()
    forwards = [(listen_inside(port), path) for port, path in options.forward]
    serve(open_socket(options.socket), source=ExecSource(), forwards=forwards)
    os._exit(0)


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


if __name__ == "__main__":
    main()
