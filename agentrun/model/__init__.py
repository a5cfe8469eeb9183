"""Models: providers and their keys under a name, and completions from them."""

from __future__ import annotations

from agentrun.model.client import ModelClient
from agentrun.model.completion import ModelCompletionAPI
from agentrun.model.control import ModelControlAPI
from agentrun.model.model import (
    BackendType,
    BaseInfo,
    ModelFeatures,
    ModelInfoConfig,
    ModelParameterRule,
    ModelProperties,
    ModelProxyCreateInput,
    ModelProxyListInput,
    ModelProxyUpdateInput,
    ModelServiceCreateInput,
    ModelServiceListInput,
    ModelServiceUpdateInput,
    ModelType,
    Provider,
    ProviderSettings,
    ProxyConfig,
    ProxyConfigEndpoint,
    ProxyConfigFallback,
    ProxyConfigPolicies,
    ProxyMode,
)
from agentrun.model.model_service import ModelService

__all__ = [
    "BackendType",
    "BaseInfo",
    "ModelClient",
    "ModelCompletionAPI",
    "ModelControlAPI",
    "ModelFeatures",
    "ModelInfoConfig",
    "ModelParameterRule",
    "ModelProperties",
    "ModelProxyCreateInput",
    "ModelProxyListInput",
    "ModelProxyUpdateInput",
    "ModelService",
    "ModelServiceCreateInput",
    "ModelServiceListInput",
    "ModelServiceUpdateInput",
    "ModelType",
    "Provider",
    "ProviderSettings",
    "ProxyConfig",
    "ProxyConfigEndpoint",
    "ProxyConfigFallback",
    "ProxyConfigPolicies",
    "ProxyMode",
]
