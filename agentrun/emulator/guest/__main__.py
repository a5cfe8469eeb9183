"""Serve the guest on an inherited socket, or on a path: `python -m agentrun.emulator.guest [--socket PATH]`."""

from __future__ import annotations

import argparse
import os
import socket

import uvicorn

from agentrun.emulator.guest.app import build_app

INHERITED_FD = 3
BACKLOG = 1024


def main() -> None:
    """Run until stopped."""
    parser = argparse.ArgumentParser(prog="agentrun.emulator.guest", description="Serve a sandbox from its inside.")
    parser.add_argument(
        "--socket", help="path of the unix socket to make; without it the inherited descriptor 3 is served"
    )
    sock = open_socket(parser.parse_args().socket)
    sock.listen(BACKLOG)
    config = uvicorn.Config(
        build_app(),
        loop="asyncio",
        lifespan="on",
        log_level="warning",
        access_log=False,
        ws="none",
        timeout_keep_alive=75,
    )
    uvicorn.Server(config).run(sockets=[sock])


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
