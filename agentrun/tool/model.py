"""What travels about tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import Field

from agentrun._core.model import Model, PageableInput, UpdateInput
from agentrun._core.values import is_object, section
from agentrun.agent_runtime.model import AgentRuntimeCode, AgentRuntimeContainer, AgentRuntimeLogConfig, NASConfig


class ToolType(str, Enum):
    """How a tool is used."""

    MCP = "MCP"
    FUNCTIONCALL = "FUNCTIONCALL"
    SKILL = "SKILL"


class ToolCreateMethod(str, Enum):
    """What a tool is made from."""

    MCP_REMOTE = "MCP_REMOTE"
    MCP_LOCAL = "MCP_LOCAL"
    MCP_BUNDLE = "MCP_BUNDLE"
    CODE_PACKAGE = "CODE_PACKAGE"
    OPENAPI_IMPORT = "OPENAPI_IMPORT"


class SessionAffinity(str, Enum):
    """By which transport an MCP server keeps its sessions."""

    STREAMABLE = "MCP_STREAMABLE"
    SSE = "MCP_SSE"


class McpConfig(Model):
    """How an MCP server is served; with `proxy_enabled` by the platform, also where it is elsewhere."""

    session_affinity: str | None = None
    session_affinity_config: str | None = None
    proxy_enabled: bool | None = None
    bound_configuration: dict[str, Any] | None = None
    mcp_proxy_configuration: dict[str, Any] | None = None


class ToolCodeConfiguration(AgentRuntimeCode):
    """A code package and the command that starts it."""

    # The official client reads these, which the service has never been seen to send.
    code_checksum: str | None = None
    code_size: int | None = None


class ToolContainerConfiguration(AgentRuntimeContainer):
    """A container image and the command that starts it."""

    args: list[str] | None = None


class ToolLogConfiguration(AgentRuntimeLogConfig):
    """Where logs are kept."""


class ToolNASConfig(NASConfig):
    """The file systems to mount, and as whom."""


class ToolNetworkConfiguration(Model):
    """Which networks a tool reaches."""

    network_mode: str | None = None
    security_group_id: str | None = None
    vpc_id: str | None = None
    vswitch_ids: list[str] | None = None


class ToolOSSMountConfig(Model):
    """The buckets to mount."""

    mount_points: list[dict[str, Any]] | None = None


class ToolProps(Model):
    """What a tool is made with, and what an update may change.

    `protocol_spec` is text: an OpenAPI document, or JSON `{"mcpServers": {name: {...}}}`, which `mcp_servers` writes.
    `memory` is MiB, `timeout` seconds. The values of `environment_variables` are kept as secrets.
    """

    artifact_type: str | None = None
    code_configuration: ToolCodeConfiguration | None = None
    container_configuration: ToolContainerConfiguration | None = None
    cpu: float | None = None
    credential_name: str | None = None
    description: str | None = None
    environment_variables: dict[str, str] | None = Field(default=None, repr=False)
    execution_role_arn: str | None = None
    log_configuration: ToolLogConfiguration | None = None
    mcp_config: McpConfig | None = None
    memory: int | None = None
    nas_config: ToolNASConfig | None = None
    network_configuration: ToolNetworkConfiguration | None = None
    oss_mount_config: ToolOSSMountConfig | None = None
    port: int | None = None
    protocol_spec: str | None = Field(default=None, repr=False)
    timeout: int | None = None
    workspace_id: str | None = None


class ToolCreateInput(ToolProps):
    """A tool to create."""

    tool_name: str
    tool_type: ToolType
    create_method: ToolCreateMethod


class ToolUpdateInput(ToolProps, UpdateInput):
    """What to change of a tool; what is not given stays."""

    create_method: ToolCreateMethod | None = None


class ToolListInput(PageableInput):
    """Which tools."""

    tool_name: str | None = None
    tool_type: ToolType | None = None
    workspace_id: str | None = None
    workspace_ids: str | None = None


def mcp_servers(name: str, **settings: Any) -> str:
    """The `protocol_spec` of one MCP server: `url` and `headers`, or `command`, `args` and `env`."""
    return json.dumps({"mcpServers": {name: settings}})


def only_server(protocol_spec: str | None) -> Mapping[str, Any]:
    """The settings of the first MCP server that a `protocol_spec` names; empty when it names none."""
    try:
        settings = json.loads(protocol_spec or "{}")
    except ValueError:
        return {}
    servers: Mapping[str, Mapping[str, Any]] = section(settings, "mcpServers") if is_object(settings) else {}
    return next(iter(servers.values())) if servers else {}
