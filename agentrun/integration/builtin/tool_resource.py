"""What a tool of the platform offers."""

from __future__ import annotations

from agentrun.config import Config
from agentrun.integration._toolset import CommonToolSet
from agentrun.tool import Tool


def tool_resource(input: str | Tool, config: Config | None = None) -> CommonToolSet:
    """What a tool of the platform offers; raises ResourceNotExistError."""
    found = Tool.get_by_name(input, config) if isinstance(input, str) else input
    return CommonToolSet.from_agentrun_tool(found, config)
