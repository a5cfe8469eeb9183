"""Serves an application until a signal ends it."""

from __future__ import annotations

import os
from typing import Any

from agentrun._serving.asgi import App

_DRAIN_SECONDS = 30
_LOOPBACK = "127.0.0.1"


def settings_of(host: str | None, port: int, **more: Any) -> dict[str, Any]:
    """The settings of uvicorn; without a host those of the variable HOST, else only this machine reaches the server."""
    host = host or os.environ.get("HOST") or _LOOPBACK
    return {"host": host, "port": port, "timeout_graceful_shutdown": _DRAIN_SECONDS, "server_header": False, **more}


def serve(app: App, host: str | None, port: int, **more: Any) -> None:
    """Serve; answers under way are finished at the end, for half a minute at most."""
    import uvicorn  # Who mounts the application elsewhere does without.

    uvicorn.run(app, **settings_of(host, port, **more))
