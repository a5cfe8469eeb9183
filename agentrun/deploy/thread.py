"""An application in a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import uvicorn

from agentrun.errors import DeploymentError
from agentrun.server.serving import settings_of

_POLL_SECONDS = 0.005


@dataclass
class DaemonThread:
    """An application that is served; it ends with this process at the latest."""

    url: str
    _server: uvicorn.Server
    _thread: threading.Thread

    @classmethod
    def start(cls, app: Any, address: tuple[str, int], timeout: float, options: Mapping[str, Any]) -> DaemonThread:
        """Serve, and return when it answers; raises DeploymentError when it does not within the time in seconds."""
        listening = _listen(address)
        host, port = listening.getsockname()[:2]
        server = uvicorn.Server(uvicorn.Config(app, **settings_of(host, port, **{"log_level": "warning", **options})))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True, name=f"agentrun-{port}")
        _end_by_request(app, server)
        thread.start()
        deadline = time.monotonic() + timeout
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                server.should_exit = True
                listening.close()
                raise DeploymentError(f"The application does not start at {host}:{port}; its log says why")
            time.sleep(_POLL_SECONDS)
        return cls(f"http://{host}:{port}", server, thread)

    def stop(self, timeout: float) -> bool:
        """End it, when its answers are finished; False when that takes longer than the time in seconds."""
        self._server.should_exit = True
        self._thread.join(timeout)
        return not self._thread.is_alive()


def _listen(address: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_server(address)
    except OSError as error:
        raise DeploymentError(f"Port {address[1]} of {address[0]} cannot be used: {error}") from error


def _end_by_request(app: Any, server: uvicorn.Server) -> None:
    """A request to end the application ends this server, not the process that other things run in."""

    def end() -> None:
        server.should_exit = True

    engine = getattr(app, "engine", None)
    if engine is not None:
        engine.shutdown.end = end
