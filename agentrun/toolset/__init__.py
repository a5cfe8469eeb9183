"""Tool sets: several tools of an API or of an MCP server under one name."""

from __future__ import annotations

from agentrun.toolset.client import ToolSetClient
from agentrun.toolset.control import ToolControlAPI
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
from agentrun.toolset.openapi import ApiSet, OpenAPI
from agentrun.toolset.schema import ToolDefinition, ToolInfo, ToolSchema
from agentrun.toolset.toolset import ToolSet

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
