"""The official client's names for tools."""

from __future__ import annotations

from agentrun.integration._function import from_pydantic, tool
from agentrun.integration._parameter import ToolParameter
from agentrun.integration._tool import Tool, normalize_tool_name
from agentrun.integration._toolset import CommonToolSet

__all__ = ["CommonToolSet", "Tool", "ToolParameter", "from_pydantic", "normalize_tool_name", "tool"]
