"""What a process of its own runs: it loads an application, and serves it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

from agentrun.deploy.manager import DeploymentMode
from agentrun.deploy.source import application_of, load
from agentrun.server.serving import settings_of


def main(source: str, host: str, port: str, port_file: str) -> None:
    """Serve until a signal ends it, and write down at which port."""
    app = application_of(load(source))
    if (info := getattr(app, "info", None)) is not None:
        info.mode = DeploymentMode.DETACHED_PROCESS.value
    with socket.create_server((host, int(port))) as listening:
        found = listening.getsockname()[1]
        Path(port_file).write_text(str(found))
        uvicorn.Server(uvicorn.Config(app, **settings_of(host, found))).run([listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
