"""Tools of the platform: MCP servers, APIs that are called as functions, and skills."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentrun.tool.client import ToolClient
from agentrun.tool.control import ToolControlAPI
from agentrun.tool.model import (
    McpConfig,
    SessionAffinity,
    ToolCodeConfiguration,
    ToolContainerConfiguration,
    ToolCreateInput,
    ToolCreateMethod,
    ToolListInput,
    ToolLogConfiguration,
    ToolNASConfig,
    ToolNetworkConfiguration,
    ToolOSSMountConfig,
    ToolType,
    ToolUpdateInput,
    mcp_servers,
)
from agentrun.tool.tool import Tool
from agentrun.toolset.mcp import ToolMCPSession
from agentrun.toolset.schema import ToolInfo, ToolSchema

if TYPE_CHECKING:
    from agentrun.tool.openapi import ToolOpenAPIClient

__all__ = [
    "McpConfig",
    "SessionAffinity",
    "Tool",
    "ToolClient",
    "ToolCodeConfiguration",
    "ToolContainerConfiguration",
    "ToolControlAPI",
    "ToolCreateInput",
    "ToolCreateMethod",
    "ToolInfo",
    "ToolListInput",
    "ToolLogConfiguration",
    "ToolMCPSession",
    "ToolNASConfig",
    "ToolNetworkConfiguration",
    "ToolOSSMountConfig",
    "ToolOpenAPIClient",
    "ToolSchema",
    "ToolType",
    "ToolUpdateInput",
    "mcp_servers",
]


def __getattr__(name: str) -> Any:
    if name != "ToolOpenAPIClient":  # It needs the extra `tools`.
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.openapi").ToolOpenAPIClient
