"""What is written about each kind of resource, and how it must read afterwards.

A body gives every field that the contract has; what it does not give, and what answers do not show, stands here with
its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_NO_FIELD = "the contract's answer has no such field"
_NO_MOUNTS = "the emulator mounts no network storage"
_NETWORK = {
    "networkMode": "PUBLIC_AND_PRIVATE",
    "securityGroupId": "sg-1",
    "vpcId": "vpc-1",
    "vswitchIds": ["vsw-1", "vsw-2"],
}
_SCALING = {
    "minInstances": 1,
    "scheduledPolicies": [
        {"name": "morning", "scheduleExpression": "cron(0 0 8 * * *)", "target": 2, "timeZone": "Asia/Shanghai"}
    ],
}
_CONTAINER = {"image": "registry.example/agent:1", "command": ["python", "main.py"], "port": 9000}


@dataclass(frozen=True)
class Kind:
    """One kind: what is given to its creation and to its update, and how its answers differ from that.

    `label` is the field of an answer that its path names. `unseen` are the dotted fields of a body that no answer
    shows, `unlisted` those that only lists leave out or mask; `filters` find it in a list, `misses` do not.
    """

    noun: str
    label: str
    given: Mapping[str, Any]
    changes: Mapping[str, Any]
    not_given: Mapping[str, str] = field(default_factory=dict[str, str])
    unseen: Mapping[str, str] = field(default_factory=dict[str, str])
    unlisted: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()
    filters: tuple[Mapping[str, Any], ...] = ()
    misses: tuple[Mapping[str, Any], ...] = ()
    updated: str = "lastUpdatedAt"

    plural: str = ""
    # What the contract appends to the names of the kind's inputs.
    inputs: str = ""

    @property
    def actions(self) -> Mapping[str, str]:
        """The five operations."""
        return {verb: f"{verb}{self.noun}" for verb in VERBS} | {"List": f"List{self.plural or f'{self.noun}s'}"}


VERBS = ("Create", "Get", "List", "Update", "Delete")

# A comma, an ampersand or the like in a name would fail: the asynchronous client signs `%2C` and then sends `,`.
CREDENTIAL = Kind(
    "Credential",
    label="credentialName",
    given={
        "credentialName": "a name/with a slash 中文?",
        "credentialAuthType": "api_key",
        "credentialSourceType": "external_llm",
        "credentialSecret": "sk-秘密",
        "credentialPublicConfig": {
            "authConfig": {"accessKey": "ak", "accountId": "1"},
            "authType": "header",
            "headerKey": "X-Key",
            "jwks": '{"keys":[]}',
            "prefix": "Bearer ",
            "provider": "openai",
            "remoteConfig": {"uri": "https://example.com/jwks", "timeout": 5, "ttl": 60},
            "users": [{"username": "u", "password": "p"}],
        },
        "description": "what for",
        "enabled": False,
        "workspaceId": "ws-1",
    },
    changes={
        "credentialPublicConfig": {"headerKey": "X-Other", "users": [{"username": "v", "password": "q"}]},
        "credentialSecret": "sk-2",
        "description": "what else for",
        "enabled": True,
        "workspaceId": "ws-2",
    },
    unlisted=("credentialSecret", "credentialPublicConfig", "relatedResources"),
    filters=(
        {"credentialName": "a name/with a slash 中文?"},
        {"credentialAuthType": "api_key", "credentialSourceType": "external_llm"},
        {"provider": "openai", "enabled": False},
        {"workspaceId": "ws-1"},
        {"workspaceIds": "ws-0,ws-1"},
    ),
    misses=({"credentialName": "other"}, {"provider": "qwen"}, {"enabled": True}, {"workspaceId": "ws-2"}),
    updated="updatedAt",
)

MODEL_SERVICE = Kind(
    "ModelService",
    label="modelServiceName",
    given={
        "modelServiceName": "models",
        "modelType": "llm",
        "provider": "openai",
        "providerSettings": {"apiKey": "sk-1", "baseUrl": "https://example.com/v1", "modelNames": ["m-1", "m-2"]},
        "credentialName": "key",
        "description": "what for",
        "modelInfoConfigs": [
            {
                "modelName": "m-1",
                "modelFeatures": {
                    "agentThought": True,
                    "multiToolCall": False,
                    "streamToolCall": True,
                    "toolCall": True,
                    "vision": False,
                },
                "modelParameterRules": [
                    {"name": "temperature", "type": "float", "default": 1, "min": 0, "max": 2, "required": False}
                ],
                "modelProperties": {"contextSize": 8192},
            }
        ],
        "networkConfiguration": _NETWORK,
        "workspaceId": "ws-1",
    },
    changes={
        "providerSettings": {"apiKey": "sk-2", "baseUrl": "https://example.com/v2", "modelNames": ["m-3"]},
        "credentialName": "key",
        "description": "what else for",
        "modelInfoConfigs": [{"modelName": "m-3", "modelParameterRules": [{"name": "top_p", "type": "float"}]}],
        "networkConfiguration": {"networkMode": "PUBLIC"},
        "workspaceId": "ws-2",
    },
    not_given={"status": "the platform says it", "statusReason": "the platform says it"},
    unlisted=("providerSettings.apiKey",),
    filters=({"modelType": "llm"}, {"provider": "openai"}, {"workspaceId": "ws-1"}, {"workspaceIds": "ws-1,ws-9"}),
    misses=({"modelType": "rerank"}, {"provider": "qwen"}, {"workspaceId": "ws-2"}),
)

MODEL_PROXY = Kind(
    "ModelProxy",
    label="modelProxyName",
    given={
        "modelProxyName": "proxy",
        "proxyMode": "multi",
        "proxyConfig": {
            "endpoints": [
                {"modelServiceName": "models", "modelNames": ["m-1"], "weight": 3},
                {"baseUrl": "https://example.com/v1", "modelNames": ["m-9"], "weight": 0},
            ],
            "policies": {
                "aiGuardrailConfig": {
                    "blockOnPromptAttack": True,
                    "blockOnSensitiveData": True,
                    "blockOnContentModeration": False,
                    "blockOnMaliciousUrl": False,
                    "blockOnModelHallucination": False,
                    "checkRequest": True,
                    "checkResponse": False,
                    "level": "high",
                    "maxTextLength": 2000,
                },
                "cache": True,
                "concurrencyLimit": 10,
                "fallbacks": [{"modelName": "m-2", "modelServiceName": "models"}],
                "numRetries": 2,
                "requestTimeout": 30,
                "tokenRateLimiter": {"tps": 10, "tpm": 100, "tph": 1000, "tpd": 10000},
            },
        },
        "cpu": 2.0,
        "memory": 4096,
        "armsConfiguration": {"enableArms": False},
        "credentialName": "key",
        "description": "what for",
        "executionRoleArn": "acs:ram::1:role/r",
        "litellmVersion": "1.70",
        "logConfiguration": {"logstore": "l", "project": "p"},
        "modelType": "llm",
        "networkConfiguration": _NETWORK,
        "serviceRegionId": "cn-hangzhou",
        "workspaceId": "ws-1",
    },
    changes={
        "proxyConfig": {
            "endpoints": [{"modelServiceName": "models", "modelNames": ["m-2"]}],
            "policies": {"cache": False, "fallbacks": [{"modelName": "m-2"}]},
        },
        "armsConfiguration": {"enableArms": True},
        "credentialName": "key",
        "description": "what else for",
        "executionRoleArn": "acs:ram::1:role/s",
        "logConfiguration": {"logstore": "l2", "project": "p2"},
        "networkConfiguration": {"networkMode": "PUBLIC"},
        "workspaceId": "ws-2",
    },
    unseen={"armsConfiguration": _NO_FIELD},
    filters=({"proxyMode": "multi"}, {"status": "READY"}, {"workspaceId": "ws-1"}, {"workspaceIds": "ws-1,ws-9"}),
    misses=({"proxyMode": "single"}, {"status": "CREATING"}, {"workspaceId": "ws-2"}),
    plural="ModelProxies",
)

TEMPLATE = Kind(
    "Template",
    label="templateName",
    given={
        "templateName": "template",
        "templateType": "CodeInterpreter",
        "cpu": 2.0,
        "memory": 4096,
        "diskSize": 512,
        "networkConfiguration": {**_NETWORK, "networkMode": "PUBLIC"},
        "allowAnonymousManage": True,
        "armsConfiguration": {"enableArms": True, "armsLicenseKey": "k", "cmsWorkspace": "w"},
        "containerConfiguration": _CONTAINER,
        "credentialConfiguration": {"credentialName": "key"},
        "description": "what for",
        "enableAgent": True,
        "enablePreStop": True,
        "environmentVariables": {"A": "1", "B": ""},
        "executionRoleArn": "acs:ram::1:role/r",
        "logConfiguration": {"logstore": "l", "project": "p"},
        "preStopTimeoutInSeconds": 3,
        "sandboxIdleTimeoutInSeconds": 700,
        "sandboxTTLInSeconds": 7000,
        "scalingConfig": _SCALING,
        "templateConfiguration": {"any": {"thing": [1, "two", None]}},
        "workspaceId": "ws-1",
    },
    changes={
        "cpu": 4.0,
        "memory": 8192,
        "networkConfiguration": {"networkMode": "PUBLIC"},
        "allowAnonymousManage": False,
        "armsConfiguration": {"enableArms": False},
        "containerConfiguration": {"image": "registry.example/agent:2"},
        "credentialConfiguration": {"credentialName": "key"},
        "description": "what else for",
        "enableAgent": False,
        "enablePreStop": False,
        "environmentVariables": {"C": "3"},
        "executionRoleArn": "acs:ram::1:role/s",
        "logConfiguration": {"logstore": "l2", "project": "p2"},
        "preStopTimeoutInSeconds": 4,
        "sandboxIdleTimeoutInSeconds": 800,
        "sandboxTTLInSeconds": 8000,
        "scalingConfig": {"minInstances": 0},
        "templateConfiguration": {"other": "thing"},
        "workspaceId": "ws-2",
    },
    not_given={"nasConfig": _NO_MOUNTS, "ossConfiguration": _NO_MOUNTS},
    unseen={
        "armsConfiguration": _NO_FIELD,
        "scalingConfig": _NO_FIELD,
        "description": "the service's answers leave it out",
    },
    as_text=("sandboxIdleTimeoutInSeconds", "sandboxTTLInSeconds"),
    filters=({"templateName": "template"}, {"templateType": "CodeInterpreter"}, {"workspaceIds": "ws-1"}),
    misses=({"templateName": "temp"}, {"templateType": "Browser"}, {"workspaceId": "ws-2"}, {"status": "CREATING"}),
)

RUNTIME = Kind(
    "AgentRuntime",
    label="agentRuntimeId",
    given={
        "agentRuntimeName": "agent",
        "artifactType": "Code",
        "codeConfiguration": {"language": "python3.12", "command": ["python3", "main.py"], "zipFile": "{echo_zip}"},
        "cpu": 2.0,
        "memory": 1024,
        "port": 9000,
        "networkConfiguration": {**_NETWORK, "networkMode": "PUBLIC"},
        "armsConfiguration": {"enableArms": False},
        "containerConfiguration": _CONTAINER,
        "credentialName": "key",
        "description": "what for",
        "disableOndemand": False,
        "disableSessionAffinity": True,
        "diskSize": 512,
        "edition": "standard",
        "enableSessionIsolation": True,
        "environmentVariables": {"A": "1"},
        "executionRoleArn": "acs:ram::1:role/r",
        "headerFieldName": "x-session",
        "healthCheckConfiguration": {
            "initialDelaySeconds": 0,
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
            "successThreshold": 1,
        },
        "logConfiguration": {"logstore": "l", "project": "p"},
        "protocolConfiguration": {"type": "HTTP", "protocolSettings": [{"name": "chat", "path": "/", "type": "HTTP"}]},
        "resourceGroupId": "rg-1",
        "sessionAffinityType": "HEADER_FIELD",
        "sessionConcurrencyLimitPerInstance": 5,
        "sessionIdleTimeoutSeconds": 60,
        "systemTags": ["one", "two"],
        "workspaceId": "ws-1",
    },
    changes={
        "agentRuntimeName": "renamed",
        "artifactType": "Code",
        "codeConfiguration": {"language": "python3.12", "command": ["python3", "-u", "main.py"]},
        "containerConfiguration": {"image": "registry.example/agent:2"},
        "cpu": 1.0,
        "memory": 2048,
        "port": 9001,
        "networkConfiguration": {"networkMode": "PUBLIC"},
        "armsConfiguration": {"enableArms": False},
        "credentialName": "key",
        "description": "what else for",
        "disableOndemand": True,
        "disableSessionAffinity": False,
        "diskSize": 1024,
        "edition": "large",
        "enableSessionIsolation": False,
        "environmentVariables": {"B": "2"},
        "executionRoleArn": "acs:ram::1:role/s",
        "forceEvictInstances": True,
        "headerFieldName": "x-other",
        "healthCheckConfiguration": {"timeoutSeconds": 3},
        "logConfiguration": {"logstore": "l2", "project": "p2"},
        "protocolConfiguration": {"type": "HTTP"},
        "sessionAffinityType": "NONE",
        "sessionConcurrencyLimitPerInstance": 6,
        "sessionIdleTimeoutSeconds": 90,
        "systemTags": ["three"],
        "workspaceId": "ws-2",
    },
    not_given={
        "nasConfig": _NO_MOUNTS,
        "ossMountConfig": _NO_MOUNTS,
        "externalAgentEndpointUrl": "agents that run elsewhere are a part of their own",
        "credentialId": "it names what credentialName names, by an id that the platform makes",
    },
    unseen={
        "codeConfiguration.zipFile": "the upload is not sent back",
        "armsConfiguration": _NO_FIELD,
        "forceEvictInstances": _NO_FIELD,
    },
    unlisted=("environmentVariables",),
    filters=(
        {"agentRuntimeName": "age", "searchMode": "prefix"},
        {"agentRuntimeName": "agent", "searchMode": "exact"},
        {"status": "READY", "systemTags": "two"},
        {"workspaceIds": "ws-1"},
    ),
    misses=(
        {"agentRuntimeName": "age", "searchMode": "exact"},
        {"agentRuntimeName": "gent", "searchMode": "prefix"},
        {"systemTags": "three"},
        {"status": "CREATING"},
        {"workspaceId": "ws-2"},
    ),
)

ENDPOINT = Kind(
    "AgentRuntimeEndpoint",
    label="agentRuntimeEndpointId",
    given={
        "agentRuntimeEndpointName": "prod",
        "description": "what for",
        "disablePublicNetworkAccess": False,
        "routingConfiguration": {"versionWeights": [{"version": "1", "weight": 0.8}]},
        "scalingConfig": _SCALING,
        "targetVersion": "LATEST",
    },
    changes={
        "agentRuntimeEndpointName": "renamed",
        "description": "what else for",
        "deleteScalingConfig": True,
        "disablePublicNetworkAccess": True,
        "routingConfiguration": {"versionWeights": [{"version": "1", "weight": 1.0}]},
        "targetVersion": "1",
    },
    not_given={"scalingConfig": "an update deletes it"},
    unseen={"scalingConfig": _NO_FIELD, "deleteScalingConfig": _NO_FIELD},
    filters=({"endpointName": "prod"}, {"endpointName": "pro", "searchMode": "prefix"}),
    misses=({"endpointName": "test"}, {"endpointName": "pro", "searchMode": "exact"}),
    updated="",
)

KNOWLEDGE_BASE = Kind(
    "KnowledgeBase",
    label="knowledgeBaseName",
    given={
        "knowledgeBaseName": "a base/with a slash 中文?",
        "provider": "adb",
        "providerSettings": {
            "dbInstanceId": "gp-1",
            "namespace": "public",
            "namespacePassword": "pw-秘密",
            "metrics": "cosine",
        },
        "retrieveSettings": {"topK": 5, "hybridSearchArgs": {"RRF": {"k": 60}}},
        "credentialName": "key",
        "description": "what for",
        "workspaceId": "ws-1",
    },
    changes={
        "providerSettings": {"dbInstanceId": "gp-2", "namespace": "other", "namespacePassword": "pw-2"},
        "retrieveSettings": {"topK": 7},
        "credentialName": "key",
        "description": "what else for",
        "workspaceId": "ws-2",
    },
    unlisted=("providerSettings.namespacePassword",),
    filters=({"provider": "adb"}, {"workspaceId": "ws-1"}, {"workspaceIds": "ws-1,ws-9"}),
    misses=({"provider": "ots"}, {"workspaceId": "ws-2"}, {"workspaceIds": "ws-2"}),
)

TOOL = Kind(
    "Tool",
    label="toolName",
    given={
        "toolName": "a tool/with a slash 中文",
        "toolType": "MCP",
        "createMethod": "MCP_REMOTE",
        "protocolSpec": '{"mcpServers": {"s": {"url": "https://example.com/mcp", "transportType": "sse"}}}',
        "artifactType": "Code",
        "codeConfiguration": {"language": "python3.12", "command": ["python3", "main.py"]},
        "cpu": 2.0,
        "credentialName": "key",
        "description": "what for",
        "environmentVariables": {"A": "1"},
        "executionRoleArn": "acs:ram::1:role/r",
        "logConfiguration": {"logstore": "l", "project": "p"},
        "mcpConfig": {
            "proxyEnabled": True,
            "sessionAffinity": "MCP_SSE",
            "sessionAffinityConfig": '{"sessionIdleTimeoutInSeconds": 60}',
        },
        "memory": 1024,
        "networkConfiguration": _NETWORK,
        "port": 8000,
        "timeout": 60,
        "workspaceId": "ws-1",
    },
    changes={
        "createMethod": "MCP_REMOTE",
        "protocolSpec": '{"mcpServers": {"s": {"url": "https://example.com/other"}}}',
        "artifactType": "Code",
        "codeConfiguration": {"language": "python3.12", "command": ["python3", "-u", "main.py"]},
        "cpu": 1.0,
        "credentialName": "key",
        "description": "what else for",
        "environmentVariables": {"B": "2"},
        "executionRoleArn": "acs:ram::1:role/s",
        "logConfiguration": {"logstore": "l2", "project": "p2"},
        "mcpConfig": {
            "proxyEnabled": False,
            "sessionAffinity": "MCP_STREAMABLE",
            "sessionAffinityConfig": '{"sessionTTLInSeconds": 600}',
        },
        "memory": 2048,
        "networkConfiguration": {"networkMode": "PUBLIC"},
        "port": 8001,
        "timeout": 90,
        "workspaceId": "ws-2",
    },
    not_given={
        "nasConfig": _NO_MOUNTS,
        "ossMountConfig": _NO_MOUNTS,
        "containerConfiguration": "tools run from code, not from images",
    },
    unlisted=("environmentVariables",),
    filters=(
        {"toolName": "a tool/with a slash 中文"},
        {"toolType": "MCP"},
        {"workspaceId": "ws-1"},
        {"workspaceIds": "ws-0,ws-1"},
    ),
    misses=({"toolName": "other"}, {"toolType": "SKILL"}, {"workspaceId": "ws-2"}),
    updated="updatedAt",
    inputs="V2",
)

KINDS = (CREDENTIAL, KNOWLEDGE_BASE, MODEL_SERVICE, MODEL_PROXY, TEMPLATE, RUNTIME, ENDPOINT, TOOL)
