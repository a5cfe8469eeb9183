"""Agent runtimes: agents that the platform runs."""

from __future__ import annotations

from agentrun.agent_runtime.client import AgentRuntimeClient
from agentrun.agent_runtime.control import AgentRuntimeControlAPI
from agentrun.agent_runtime.data import AgentRuntimeDataAPI
from agentrun.agent_runtime.endpoint import AgentRuntimeEndpoint
from agentrun.agent_runtime.model import (
    AgentRuntimeArtifact,
    AgentRuntimeCode,
    AgentRuntimeContainer,
    AgentRuntimeCreateInput,
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeEndpointListInput,
    AgentRuntimeEndpointRoutingConfig,
    AgentRuntimeEndpointRoutingWeight,
    AgentRuntimeEndpointUpdateInput,
    AgentRuntimeHealthCheckConfig,
    AgentRuntimeLanguage,
    AgentRuntimeListInput,
    AgentRuntimeLogConfig,
    AgentRuntimeProtocolConfig,
    AgentRuntimeProtocolType,
    AgentRuntimeUpdateInput,
    AgentRuntimeVersion,
    AgentRuntimeVersionListInput,
)
from agentrun.agent_runtime.runtime import AgentRuntime
from agentrun.status import Status

__all__ = [
    "AgentRuntime",
    "AgentRuntimeArtifact",
    "AgentRuntimeClient",
    "AgentRuntimeCode",
    "AgentRuntimeContainer",
    "AgentRuntimeControlAPI",
    "AgentRuntimeCreateInput",
    "AgentRuntimeDataAPI",
    "AgentRuntimeEndpoint",
    "AgentRuntimeEndpointCreateInput",
    "AgentRuntimeEndpointListInput",
    "AgentRuntimeEndpointRoutingConfig",
    "AgentRuntimeEndpointRoutingWeight",
    "AgentRuntimeEndpointUpdateInput",
    "AgentRuntimeHealthCheckConfig",
    "AgentRuntimeLanguage",
    "AgentRuntimeListInput",
    "AgentRuntimeLogConfig",
    "AgentRuntimeProtocolConfig",
    "AgentRuntimeProtocolType",
    "AgentRuntimeUpdateInput",
    "AgentRuntimeVersion",
    "AgentRuntimeVersionListInput",
    "Status",
]
