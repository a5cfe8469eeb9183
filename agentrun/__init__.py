"""agentrun: the SDK for AgentRun-compatible agent platforms, with the platform in its pocket.

Importing this module loads nothing else: a name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun.agent_runtime import *
    from agentrun.config import Config as Config
    from agentrun.credential import *
    from agentrun.errors import *
    from agentrun.knowledgebase import *
    from agentrun.model import *
    from agentrun.sandbox import *
    from agentrun.sandbox.boxes import *
    from agentrun.sandbox.toolset import *
    from agentrun.status import NetworkMode as NetworkMode
    from agentrun.status import Status as Status
    from agentrun.tool import McpConfig as McpConfig
    from agentrun.tool import Tool as Tool
    from agentrun.tool import ToolClient as ToolClient
    from agentrun.tool import ToolCodeConfiguration as ToolCodeConfiguration
    from agentrun.tool import ToolContainerConfiguration as ToolContainerConfiguration
    from agentrun.tool import ToolCreateInput as ToolCreateInput
    from agentrun.tool import ToolCreateMethod as ToolCreateMethod
    from agentrun.tool import ToolListInput as ToolListInput
    from agentrun.tool import ToolType as ToolType
    from agentrun.tool import ToolUpdateInput as ToolUpdateInput
    from agentrun.tool import mcp_servers as mcp_servers
    from agentrun.toolset import Authorization as Authorization
    from agentrun.toolset import SchemaType as SchemaType
    from agentrun.toolset import ToolControlAPI as ToolControlAPI
    from agentrun.toolset import ToolInfo as ToolInfo
    from agentrun.toolset import ToolSchema as ToolSchema
    from agentrun.toolset import ToolSet as ToolSet
    from agentrun.toolset import ToolSetClient as ToolSetClient
    from agentrun.toolset import ToolSetCreateInput as ToolSetCreateInput
    from agentrun.toolset import ToolSetListInput as ToolSetListInput
    from agentrun.toolset import ToolSetSpec as ToolSetSpec
    from agentrun.toolset import ToolSetUpdateInput as ToolSetUpdateInput
    from agentrun.utils.credential_context import *
    from agentrun.utils.model import NetworkConfig as NetworkConfig

__version__ = "0.1.0"

# Where each public name lives.
_NAMES = {
    "agentrun.agent_runtime": """
        AgentRuntime AgentRuntimeArtifact AgentRuntimeClient AgentRuntimeCode AgentRuntimeContainer
        AgentRuntimeControlAPI AgentRuntimeCreateInput AgentRuntimeDataAPI AgentRuntimeEndpoint
        AgentRuntimeEndpointCreateInput AgentRuntimeEndpointListInput AgentRuntimeEndpointRoutingConfig
        AgentRuntimeEndpointRoutingWeight AgentRuntimeEndpointUpdateInput AgentRuntimeHealthCheckConfig
        AgentRuntimeLanguage AgentRuntimeListInput AgentRuntimeLogConfig AgentRuntimeProtocolConfig
        AgentRuntimeProtocolType AgentRuntimeUpdateInput AgentRuntimeVersion AgentRuntimeVersionListInput
    """,
    "agentrun.config": """
        Config
    """,
    "agentrun.credential": """
        Credential CredentialAuthType CredentialBasicAuth CredentialClient CredentialConfig CredentialControlAPI
        CredentialCreateInput CredentialListInput CredentialListOutput CredentialSourceType
        CredentialUpdateInput CredentialUsage CredentialUser RelatedResource
    """,
    "agentrun.errors": """
        AgentRunError AuthenticationError BlockingError BrowserToolError ClientError ConfigError ConnectError
        CredentialError DeleteResourceError DeploymentError Executed HTTPError InvalidInputError InvalidResponseError
        PermissionDeniedError RateLimitError RequestTimeoutError ResourceAlreadyExistError ResourceFailedError
        ResourceNotExistError SandboxError SandboxTerminatedError ServerError StorageError ToolError TransportError
        UnsupportedError WaitTimeoutError
    """,
    "agentrun.knowledgebase": """
        ADBDataAPI ADBProviderSettings ADBRerankModel ADBRetrieveSettings BailianDataAPI
        BailianProviderSettings BailianRetrieveSettings Document KnowledgeBase KnowledgeBaseClient
        KnowledgeBaseControlAPI KnowledgeBaseCreateInput KnowledgeBaseDataAPI KnowledgeBaseListInput
        KnowledgeBaseListOutput KnowledgeBaseProvider KnowledgeBaseUpdateInput MultiRetrieveResult
        OTSDataAPI OTSDenseVectorSearchConfig OTSEmbeddingConfiguration OTSFullTextSearchConfig
        OTSMetadataField OTSModelConfig OTSProviderSettings OTSRRFConfig OTSRerankingConfig
        OTSRetrieveSettings OTSWeightConfig RagFlowDataAPI RagFlowProviderSettings
        RagFlowRetrieveSettings RetrieveInput RetrieveResult RetrieveSettings RetrievedDocument
        StoredDocument get_data_api
    """,
    "agentrun.model": """
        BackendType BaseInfo Budget BudgetAction BudgetPeriod BudgetStats CachePolicy ContentCheck
        EndpointStats GatewayPolicies LimitScope ModelClient ModelCompletionAPI ModelControlAPI ModelDataAPI
        ModelFeatures ModelInfoConfig ModelParameterRule ModelPrice ModelProperties ModelProvider
        ModelProviderListInput ModelProxy ModelProxyCreateInput ModelProxyListInput ModelProxyStats
        ModelProxyUpdateInput ModelService ModelServiceCreateInput ModelServiceListInput
        ModelServiceUpdateInput ModelType OutlierEjection Percentiles Provider ProviderSettings ProxyConfig
        ProxyConfigAIGuardrailConfig ProxyConfigEndpoint ProxyConfigFallback ProxyConfigPolicies
        ProxyConfigTokenRateLimiter ProxyMode QueuePolicy RateLimit RerankResult RerankedDocument RetryPolicy
        SafetyAction SemanticCache TimeoutPolicy TokenStats
    """,
    "agentrun.sandbox": """
        Checkpoint CodeInterpreterDataAPI CodeInterpreterSandbox CodeLanguage ContextOperations CredentialUse
        CustomSandbox EndEvent ErrorEvent ExecutionResult ExecutionStream ExitEvent FileEvent IsolationState
        ListSandboxesInput ListSandboxesOutput Mount NASConfig NASMountConfig NetworkPolicy NetworkRule
        OSSMountConfig OSSMountPoint OutputEvent PageableInput PolarFsConfig PolarFsMountConfig ProcessHandle
        ProcessResult RefusedCredential Result Sandbox SandboxClient SandboxControlAPI SandboxCredential
        SandboxDataAPI SandboxHealth SandboxInput
        SandboxOptions SandboxPort Template TemplateArmsConfiguration TemplateContainerConfiguration
        TemplateCredentialConfiguration TemplateInput TemplateLogConfiguration TemplateMcpOptions
        TemplateMcpState TemplateNetworkConfiguration TemplateNetworkMode TemplateOSSPermission
        TemplateOssConfiguration TemplateType TemplateUpdateInput Terminal UsedCredential
    """,
    "agentrun.sandbox.boxes": """
        BaseSandbox BaseSandboxAsync FilesystemSandbox FilesystemSandboxAsync WorkspaceFiles
    """,
    "agentrun.sandbox.toolset": """
        SandboxTool SandboxToolSet
    """,
    "agentrun.status": """
        NetworkMode Status
    """,
    "agentrun.tool": """
        McpConfig Tool ToolClient ToolCodeConfiguration ToolContainerConfiguration ToolCreateInput
        ToolCreateMethod ToolListInput ToolType ToolUpdateInput mcp_servers
    """,
    "agentrun.toolset": """
        Authorization SchemaType ToolControlAPI ToolInfo ToolSchema ToolSet ToolSetClient
        ToolSetCreateInput ToolSetListInput ToolSetSpec ToolSetUpdateInput
    """,
    "agentrun.utils.credential_context": """
        StsCredential get_request_sts reset_request_sts set_request_sts sts_from_headers use_sts_credentials
        use_sts_from_headers
    """,
    "agentrun.utils.model": """
        NetworkConfig
    """,
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

# Computed, so that each name is written once; type checkers read the imports above instead.
__all__ = sorted([*_MODULES, "__version__"])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'agentrun' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # The next use does not come here again.
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
