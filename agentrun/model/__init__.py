"""Models: providers and their keys under a name, proxies in front of several, and what they answer.

All but the policies is looked up when it is used: the gateway reads policies, and needs nothing of the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from agentrun.model.client import ModelClient
    from agentrun.model.completion import ModelCompletionAPI
    from agentrun.model.control import ModelControlAPI
    from agentrun.model.data import ModelDataAPI
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
    from agentrun.model.model_proxy import ModelProxy
    from agentrun.model.model_service import ModelService
    from agentrun.model.rerank import RerankedDocument, RerankResult
    from agentrun.model.stats import BudgetStats, EndpointStats, ModelProxyStats, Percentiles, TokenStats

_NAMES = {
    "client": "ModelClient",
    "completion": "ModelCompletionAPI",
    "control": "ModelControlAPI",
    "data": "ModelDataAPI",
    "model": """
        BackendType BaseInfo ModelFeatures ModelInfoConfig ModelParameterRule ModelProperties ModelProvider
        ModelProviderListInput ModelProxyCreateInput ModelProxyListInput ModelProxyUpdateInput
        ModelServiceCreateInput ModelServiceListInput ModelServiceUpdateInput ModelType Provider ProviderSettings
    """,
    "model_proxy": "ModelProxy",
    "model_service": "ModelService",
    "rerank": "RerankResult RerankedDocument",
    "stats": "BudgetStats EndpointStats ModelProxyStats Percentiles TokenStats",
}
_WHERE = {name: module for module, names in _NAMES.items() for name in names.split()}
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
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value  # The next use does not come here again.
    return value
