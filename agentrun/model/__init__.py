"""Models: providers and their keys under a name, proxies in front of several, and what they answer.

What calls the platform is looked up when it is used: the gateway reads policies, which are values, without the client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentrun.model.model import (
    BackendType,
    BaseInfo,
    ModelFeatures,
    ModelInfoConfig,
    ModelParameterRule,
    ModelProperties,
    ModelProvider,
    ModelProviderListInput,
    ModelProxyCreateInput,
    ModelProxyListInput,
    ModelProxyUpdateInput,
    ModelServiceCreateInput,
    ModelServiceListInput,
    ModelServiceUpdateInput,
    ModelType,
    Provider,
    ProviderSettings,
)
from agentrun.model.policies import (
    Budget,
    BudgetAction,
    BudgetPeriod,
    CachePolicy,
    ContentCheck,
    GatewayPolicies,
    LimitScope,
    ModelPrice,
    OutlierEjection,
    ProxyConfig,
    ProxyConfigAIGuardrailConfig,
    ProxyConfigEndpoint,
    ProxyConfigFallback,
    ProxyConfigPolicies,
    ProxyConfigTokenRateLimiter,
    ProxyMode,
    QueuePolicy,
    RateLimit,
    RetryPolicy,
    SafetyAction,
    SemanticCache,
    TimeoutPolicy,
)
from agentrun.model.stats import BudgetStats, EndpointStats, ModelProxyStats, Percentiles, TokenStats

if TYPE_CHECKING:
    from agentrun.model.client import ModelClient
    from agentrun.model.completion import ModelCompletionAPI
    from agentrun.model.control import ModelControlAPI
    from agentrun.model.data import ModelDataAPI
    from agentrun.model.model_proxy import ModelProxy
    from agentrun.model.model_service import ModelService
    from agentrun.model.rerank import RerankedDocument, RerankResult

_CALLING = {
    "RerankedDocument": "rerank",
    "RerankResult": "rerank",
    "ModelClient": "client",
    "ModelCompletionAPI": "completion",
    "ModelControlAPI": "control",
    "ModelDataAPI": "data",
    "ModelProxy": "model_proxy",
    "ModelService": "model_service",
}
__all__ = [
    "BackendType",
    "BaseInfo",
    "Budget",
    "BudgetAction",
    "BudgetPeriod",
    "BudgetStats",
    "CachePolicy",
    "ContentCheck",
    "EndpointStats",
    "GatewayPolicies",
    "LimitScope",
    "ModelClient",
    "ModelCompletionAPI",
    "ModelControlAPI",
    "ModelDataAPI",
    "ModelFeatures",
    "ModelInfoConfig",
    "ModelParameterRule",
    "ModelPrice",
    "ModelProperties",
    "ModelProvider",
    "ModelProviderListInput",
    "ModelProxy",
    "ModelProxyCreateInput",
    "ModelProxyListInput",
    "ModelProxyStats",
    "ModelProxyUpdateInput",
    "ModelService",
    "ModelServiceCreateInput",
    "ModelServiceListInput",
    "ModelServiceUpdateInput",
    "ModelType",
    "OutlierEjection",
    "Percentiles",
    "Provider",
    "ProviderSettings",
    "ProxyConfig",
    "ProxyConfigAIGuardrailConfig",
    "ProxyConfigEndpoint",
    "ProxyConfigFallback",
    "ProxyConfigPolicies",
    "ProxyConfigTokenRateLimiter",
    "ProxyMode",
    "QueuePolicy",
    "RateLimit",
    "RerankResult",
    "RerankedDocument",
    "RetryPolicy",
    "SafetyAction",
    "SemanticCache",
    "TimeoutPolicy",
    "TokenStats",
]


def __getattr__(name: str) -> Any:
    if name not in _CALLING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_CALLING[name]}"), name)
    globals()[name] = value  # The next use does not come here again.
    return value
