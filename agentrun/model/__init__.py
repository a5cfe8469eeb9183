"""Models: providers and their keys under a name, proxies in front of several, and what they answer.

Names are looked up when they are used: the gateway reads policies, which are values, and must not load the client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun.model.client import ModelClient as ModelClient
    from agentrun.model.completion import ModelCompletionAPI as ModelCompletionAPI
    from agentrun.model.control import ModelControlAPI as ModelControlAPI
    from agentrun.model.data import ModelDataAPI as ModelDataAPI
    from agentrun.model.model import BackendType as BackendType
    from agentrun.model.model import BaseInfo as BaseInfo
    from agentrun.model.model import ModelFeatures as ModelFeatures
    from agentrun.model.model import ModelInfoConfig as ModelInfoConfig
    from agentrun.model.model import ModelParameterRule as ModelParameterRule
    from agentrun.model.model import ModelProperties as ModelProperties
    from agentrun.model.model import ModelProvider as ModelProvider
    from agentrun.model.model import ModelProviderListInput as ModelProviderListInput
    from agentrun.model.model import ModelProxyCreateInput as ModelProxyCreateInput
    from agentrun.model.model import ModelProxyListInput as ModelProxyListInput
    from agentrun.model.model import ModelProxyUpdateInput as ModelProxyUpdateInput
    from agentrun.model.model import ModelServiceCreateInput as ModelServiceCreateInput
    from agentrun.model.model import ModelServiceListInput as ModelServiceListInput
    from agentrun.model.model import ModelServiceUpdateInput as ModelServiceUpdateInput
    from agentrun.model.model import ModelType as ModelType
    from agentrun.model.model import Provider as Provider
    from agentrun.model.model import ProviderSettings as ProviderSettings
    from agentrun.model.model_proxy import ModelProxy as ModelProxy
    from agentrun.model.model_service import ModelService as ModelService
    from agentrun.model.policies import Budget as Budget
    from agentrun.model.policies import BudgetAction as BudgetAction
    from agentrun.model.policies import BudgetPeriod as BudgetPeriod
    from agentrun.model.policies import CachePolicy as CachePolicy
    from agentrun.model.policies import ContentCheck as ContentCheck
    from agentrun.model.policies import GatewayPolicies as GatewayPolicies
    from agentrun.model.policies import LimitScope as LimitScope
    from agentrun.model.policies import ModelPrice as ModelPrice
    from agentrun.model.policies import OutlierEjection as OutlierEjection
    from agentrun.model.policies import ProxyConfig as ProxyConfig
    from agentrun.model.policies import ProxyConfigAIGuardrailConfig as ProxyConfigAIGuardrailConfig
    from agentrun.model.policies import ProxyConfigEndpoint as ProxyConfigEndpoint
    from agentrun.model.policies import ProxyConfigFallback as ProxyConfigFallback
    from agentrun.model.policies import ProxyConfigPolicies as ProxyConfigPolicies
    from agentrun.model.policies import ProxyConfigTokenRateLimiter as ProxyConfigTokenRateLimiter
    from agentrun.model.policies import ProxyMode as ProxyMode
    from agentrun.model.policies import QueuePolicy as QueuePolicy
    from agentrun.model.policies import RateLimit as RateLimit
    from agentrun.model.policies import RetryPolicy as RetryPolicy
    from agentrun.model.policies import SafetyAction as SafetyAction
    from agentrun.model.policies import SemanticCache as SemanticCache
    from agentrun.model.policies import TimeoutPolicy as TimeoutPolicy
    from agentrun.model.rerank import RerankedDocument as RerankedDocument
    from agentrun.model.rerank import RerankResult as RerankResult
    from agentrun.model.stats import BudgetStats as BudgetStats
    from agentrun.model.stats import EndpointStats as EndpointStats
    from agentrun.model.stats import ModelProxyStats as ModelProxyStats
    from agentrun.model.stats import Percentiles as Percentiles
    from agentrun.model.stats import TokenStats as TokenStats

_NAMES = {
    "client": "ModelClient",
    "completion": "ModelCompletionAPI",
    "control": "ModelControlAPI",
    "data": "ModelDataAPI",
    "model": """
        BackendType BaseInfo ModelFeatures ModelInfoConfig ModelParameterRule ModelProperties ModelProvider
        ModelProviderListInput ModelProxyCreateInput ModelProxyListInput ModelProxyUpdateInput
        ModelServiceCreateInput ModelServiceListInput ModelServiceUpdateInput ModelType Provider
        ProviderSettings
    """,
    "model_proxy": "ModelProxy",
    "model_service": "ModelService",
    "policies": """
        Budget BudgetAction BudgetPeriod CachePolicy ContentCheck GatewayPolicies LimitScope ModelPrice
        OutlierEjection ProxyConfig ProxyConfigAIGuardrailConfig ProxyConfigEndpoint ProxyConfigFallback
        ProxyConfigPolicies ProxyConfigTokenRateLimiter ProxyMode QueuePolicy RateLimit RetryPolicy
        SafetyAction SemanticCache TimeoutPolicy
    """,
    "rerank": """
        RerankedDocument RerankResult
    """,
    "stats": """
        BudgetStats EndpointStats ModelProxyStats Percentiles TokenStats
    """,
}
_WHERE = {name: module for module, names in _NAMES.items() for name in names.split()}
if not TYPE_CHECKING:
    # Type checkers read no list that is computed; to them the imports above are the public names.
    __all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value  # The next use does not come here again.
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
