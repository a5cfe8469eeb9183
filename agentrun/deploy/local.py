"""This machine as a place: an application runs in a thread here, or in a process that goes on by itself."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from agentrun.deploy.manager import Application, DeployManager, DeploymentMode
from agentrun.deploy.process import DetachedProcess
from agentrun.deploy.source import application_of, load, source_of
from agentrun.deploy.thread import DaemonThread


class LocalDeployManager(DeployManager):
    """Deploys to a port of this machine; with port 0 to a free one. Times are in seconds."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = 8090, shutdown_timeout: float = 30, startup_timeout: float = 30
    ) -> None:
        self._address = (host, port)
        self._shutdown_timeout = shutdown_timeout
        self._startup_timeout = startup_timeout
        self._threads: dict[str, DaemonThread] = {}

    async def deploy(
        self,
        app: Application | None = None,
        *,
        mode: DeploymentMode | str = DeploymentMode.DAEMON_THREAD,
        entrypoint: str | None = None,
        environment: dict[str, str] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Serve an application, or the one of an `entrypoint`, as in "agent.py:app"; returns when it answers.

        A detached process loads it from there, or from its own file, with the variables of `environment` besides those
        of this process. Raises DeploymentError when it does not start.
        """
        deploy_id = uuid.uuid4().hex
        if DeploymentMode(mode) is DeploymentMode.DETACHED_PROCESS:
            source = entrypoint or source_of(app)
            process = await asyncio.to_thread(
                DetachedProcess.start, deploy_id, source, self._address, environment or {}, self._startup_timeout
            )
            return {"deploy_id": deploy_id, "url": process.url, "pid": process.pid, "log": str(process.log)}
        served = app or application_of(load(entrypoint or ""))
        thread = await asyncio.to_thread(DaemonThread.start, served, self._address, self._startup_timeout, options)
        self._threads[deploy_id] = thread
        return {"deploy_id": deploy_id, "url": thread.url}

    async def stop(self, deploy_id: str) -> dict[str, Any]:
        """End an application; one in a process of its own may have been deployed by somebody else."""
        thread = self._threads.pop(deploy_id, None)
        running = thread or DetachedProcess.find(deploy_id)
        if running is None:
            return _told(False, f"Nothing runs here as {deploy_id}")
        ended = await asyncio.to_thread(running.stop, self._shutdown_timeout)
        return _told(ended, "It has ended" if ended else "It did not end in time", url=running.url)


def _told(success: bool, message: str, **details: Any) -> dict[str, Any]:
    return {"success": success, "message": message, "details": details}
