"""A sandbox as tools that an agent can call; adapters of frameworks turn each into their own kind of tool."""

from __future__ import annotations

from agentrun.sandbox.toolset.tool import SandboxTool
from agentrun.sandbox.toolset.toolset import SandboxToolSet

__all__ = ["SandboxTool", "SandboxToolSet"]
