"""Where an application can go: today this machine, in a thread or in a process of its own."""

from __future__ import annotations

from agentrun.deploy.local import LocalDeployManager
from agentrun.deploy.manager import DeployManager, DeploymentMode

__all__ = ["DeployManager", "DeploymentMode", "LocalDeployManager"]
