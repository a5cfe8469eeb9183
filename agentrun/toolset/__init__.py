"""Tool sets: several tools of an API or of an MCP server under one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentrun.toolset.client import ToolSetClient
from agentrun.toolset.control import ToolControlAPI
from agentrun.toolset.engine import openapi_engines
from agentrun.toolset.mcp import McpClient, McpResult, MCPSession, MCPToolSet
from agentrun.toolset.model import (
    APIKeyAuthParameter,
    Authorization,
    AuthorizationParameters,
    MCPServerConfig,
    OpenAPIToolMeta,
    SchemaType,
    ToolMeta,
    ToolSetCreateInput,
    ToolSetListInput,
    ToolSetSchema,
    ToolSetSpec,
    ToolSetStatus,
    ToolSetStatusOutputs,
    ToolSetStatusOutputsUrls,
    ToolSetUpdateInput,
)
from agentrun.toolset.schema import ToolDefinition, ToolInfo, ToolSchema
from agentrun.toolset.toolset import ToolSet

if TYPE_CHECKING:
    from agentrun.toolset.openapi import ApiSet, OpenAPI

__all__ = [
    "APIKeyAuthParameter",
    "ApiSet",
    "Authorization",
    "AuthorizationParameters",
    "MCPServerConfig",
    "MCPSession",
    "MCPToolSet",
    "McpClient",
    "McpResult",
    "OpenAPI",
    "OpenAPIToolMeta",
    "SchemaType",
    "ToolControlAPI",
    "ToolDefinition",
    "ToolInfo",
    "ToolMeta",
    "ToolSchema",
    "ToolSet",
    "ToolSetClient",
    "ToolSetCreateInput",
    "ToolSetListInput",
    "ToolSetSchema",
    "ToolSetSpec",
    "ToolSetStatus",
    "ToolSetStatusOutputs",
    "ToolSetStatusOutputsUrls",
    "ToolSetUpdateInput",
]


def __getattr__(name: str) -> Any:
    if name not in ("ApiSet", "OpenAPI"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(openapi_engines(), name)
    globals()[name] = value  # The next use does not come here again.
    return value
