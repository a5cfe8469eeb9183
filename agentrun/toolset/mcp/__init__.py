"""MCP servers: their tools, resources and prompts over one session that is kept; needs the extra `tools`."""

from __future__ import annotations

from agentrun.toolset.mcp.client import McpClient
from agentrun.toolset.mcp.official import MCPSession, MCPToolSet, ToolMCPSession
from agentrun.toolset.mcp.result import McpResult

__all__ = ["MCPSession", "MCPToolSet", "McpClient", "McpResult", "ToolMCPSession"]
