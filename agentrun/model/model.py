"""What travels about model services and model proxies."""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import Field

from agentrun._core.model import Model, PageableInput, UpdateInput
from agentrun._core.network import NetworkConfig

# Code for the official client finds them here.
from agentrun.model.policies import ProxyConfig as ProxyConfig
from agentrun.model.policies import ProxyConfigAIGuardrailConfig as ProxyConfigAIGuardrailConfig
from agentrun.model.policies import ProxyConfigEndpoint as ProxyConfigEndpoint
from agentrun.model.policies import ProxyConfigFallback as ProxyConfigFallback
from agentrun.model.policies import ProxyConfigPolicies as ProxyConfigPolicies
from agentrun.model.policies import ProxyConfigTokenRateLimiter as ProxyConfigTokenRateLimiter
from agentrun.model.policies import ProxyMode as ProxyMode
from agentrun.status import Status


class BackendType(str, Enum):
    """What answers a model: a provider behind a service, or a proxy in front of several."""

    PROXY = "proxy"
    SERVICE = "service"


class ModelType(str, Enum):
    """What a model does."""

    LLM = "llm"
    EMBEDDING = "text-embedding"
    RERANK = "rerank"
    SPEECH2TEXT = "speech2text"
    TTS = "tts"
    MODERATION = "moderation"


class Provider(str, Enum):
    """Who offers models; the members are spelt as in the official client."""

    OpenAI = "openai"
    Anthropic = "anthropic"
    BaiChuan = "baichuan"
    DeepSeek = "deepseek"
    Gemini = "gemini"
    HunYuan = "hunyuan"
    MiniMax = "minimax"
    MoonShot = "moonshot"
    Spark = "spark"
    StepFun = "stepfun"
    Tongyi = "tongyi"
    VertexAI = "vertex_ai"
    WenXin = "wenxin"
    Yi = "yi"
    ZhiPuAI = "zhipuai"
    Custom = "custom"


class ProviderSettings(Model):
    """Where a provider is and how it knows us."""

    api_key: str | None = Field(default=None, repr=False)
    base_url: str | None = None
    model_names: list[str] | None = None


class ModelFeatures(Model):
    """What a model can do."""

    agent_thought: bool | None = None
    multi_tool_call: bool | None = None
    stream_tool_call: bool | None = None
    tool_call: bool | None = None
    vision: bool | None = None


class ModelProperties(Model):
    """How large a model's context is, in tokens."""

    context_size: int | None = None


class ModelParameterRule(Model):
    """What a parameter of a model may be."""

    default: Any | None = None
    max: float | None = None
    min: float | None = None
    name: str | None = None
    required: bool | None = None
    type: str | None = None


class ModelInfoConfig(Model):
    """One model of a service."""

    model_name: str | None = None
    model_features: ModelFeatures | None = None
    model_properties: ModelProperties | None = None
    model_parameter_rules: list[ModelParameterRule] | None = None


class CommonModelMutableProps(Model):
    """What an update may change of services and proxies."""

    credential_name: str | None = None
    description: str | None = None
    network_configuration: NetworkConfig | None = None


class CommonModelImmutableProps(Model):
    """What stays as it was created, of services and proxies."""

    model_type: ModelType | None = None
    workspace_id: str | None = None


class CommonModelSystemProps(Model):
    """What the service adds to services and proxies."""

    created_at: str | None = None
    last_updated_at: str | None = None
    status: Status | str | None = None


class ModelServiceMutableProps(CommonModelMutableProps):
    """What an update may change."""

    provider_settings: ProviderSettings | None = None


class ModelServiceImmutableProps(CommonModelImmutableProps):
    """What stays as it was created."""

    model_info_configs: list[ModelInfoConfig] | None = None
    model_service_name: str | None = None
    provider: str | None = None


class ModelServicesSystemProps(CommonModelSystemProps):
    """What the service adds."""

    model_service_id: str | None = None
    status_reason: str | None = None
    # Where the platform itself asks the service's models, so that their key stays with it; only the local one has it.
    endpoint: str | None = None


class ModelProxyMutableProps(CommonModelMutableProps):
    """What an update may change; `cpu` is cores, `memory` MB."""

    cpu: float | None = 2
    litellm_version: str | None = None
    memory: int | None = 4096
    model_proxy_name: str | None = None
    proxy_mode: ProxyMode | None = None
    service_region_id: str | None = None
    proxy_config: ProxyConfig | None = None
    execution_role_arn: str | None = None


class ModelProxyImmutableProps(CommonModelImmutableProps):
    """What stays as it was created."""


class ModelProxySystemProps(CommonModelSystemProps):
    """What the service adds."""

    endpoint: str | None = None
    function_name: str | None = None
    model_proxy_id: str | None = None
    status_reason: str | None = None


class ModelServiceCreateInput(ModelServiceImmutableProps, ModelServiceMutableProps):
    """A model service to create."""


class ModelServiceUpdateInput(UpdateInput, ModelServiceMutableProps):
    """What to change of a model service; what is not given stays."""


class ModelServiceListInput(PageableInput):
    """Which model services to list."""

    model_type: ModelType | None = None
    provider: str | None = None
    workspace_id: str | None = None


class ModelProxyCreateInput(ModelProxyMutableProps, ModelProxyImmutableProps):
    """A model proxy to create; `proxy_mode` is multi where its endpoints name different models, unless it is given."""

    def to_wire(self) -> dict[str, Any]:
        """What travels."""
        endpoints = (self.proxy_config or ProxyConfig()).endpoints or ()
        named = {tuple(sorted(endpoint.model_names or ())) for endpoint in endpoints}
        mode = ProxyMode.MULTI if len(named) > 1 else ProxyMode.SINGLE
        return {"proxyMode": mode.value, **super().to_wire()}


class ModelProxyUpdateInput(UpdateInput, ModelProxyMutableProps):
    """What to change of a model proxy; what is not given stays."""


class ModelProxyListInput(PageableInput):
    """Which model proxies to list."""

    proxy_mode: str | None = None
    status: Status | None = None
    workspace_id: str | None = None


class ModelProvider(Model):
    """Models of one type that a provider offers; without a `base_url` it does not speak the OpenAI protocol."""

    provider_name: str | None = None
    base_url: str | None = None
    model_type: ModelType | str | None = None
    models: list[str] | None = None
    model_info_config: ModelInfoConfig | None = None


class ModelProviderListInput(PageableInput):
    """Which providers to list: by their name, what their models do, or one of their models."""

    provider: str | None = None
    model_type: ModelType | None = None
    model_name: str | None = None


class BaseInfo(Model):
    """Where a model is called and with which key."""

    model: str | None = None
    api_key: str | None = Field(default=None, repr=False)
    base_url: str | None = None
    headers: dict[str, str] | None = Field(default=None, repr=False)
    provider: str | None = None
