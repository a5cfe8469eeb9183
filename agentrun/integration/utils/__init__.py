"""The names of the official client for what belongs to no framework."""

from __future__ import annotations

from agentrun.integration.utils.model import CommonModel
from agentrun.integration.utils.tool import CommonToolSet, Tool, ToolParameter, from_pydantic, tool

__all__ = ["CommonModel", "CommonToolSet", "Tool", "ToolParameter", "from_pydantic", "tool"]
