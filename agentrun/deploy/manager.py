"""What every place is to an application that goes there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import Any, Protocol

from agentrun._serving.asgi import Receive, Scope, Send


class DeploymentMode(str, Enum):
    """How an application runs on a machine: it ends with the process that deployed it, or outlives it."""

    DAEMON_THREAD = "daemon_thread"
    DETACHED_PROCESS = "detached_process"


class Application(Protocol):
    """What can be deployed: an ASGI application, as `AgentApp` is one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None:
        """Serve a request."""
        ...


class DeployManager(ABC):
    """Brings applications somewhere, and ends them there."""

    @abstractmethod
    async def deploy(self, app: Application, **options: Any) -> dict[str, Any]:
        """Let an application run there; `deploy_id` names it from now on, and `url` is where it answers."""

    @abstractmethod
    async def stop(self, deploy_id: str) -> dict[str, Any]:
        """End it: `success`, a `message` for people, and `details`."""
