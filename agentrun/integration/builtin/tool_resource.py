"""What a tool of the platform offers."""

from __future__ import annotations

from agentrun.config import Config
from agentrun.integration._toolset import CommonToolSet
from agentrun.tool import Tool


def tool_resource(name: str | Tool, *, config: Config | None = None) -> CommonToolSet:
    """What a tool of the platform offers; raises ResourceNotExistError."""
    found = Tool.get_by_name(name, config) if isinstance(name, str) else name
    return CommonToolSet.from_agentrun_tool(found, config)
