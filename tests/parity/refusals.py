"""What the emulator must refuse, and in which words: at least once for every operation it serves.

Names in braces are filled in from a world that has one of everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

INVALID = (400, "ERR_VALIDATION_FAILED")
MISSING = (404, "ERR_NOT_FOUND")
TAKEN = (409, "ERR_ALREADY_EXISTS")
CONFLICT = (409, "ERR_CONFLICT")
UNSUPPORTED = (501, "ERR_NOT_IMPLEMENTED")


@dataclass(frozen=True)
class Refusal:
    """A call, and the status, code and words of the answer."""

    action: str
    answer: tuple[int, str]
    text: str
    names: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        return f"{self.action}-{self.answer[0]}-{self.text.replace(' ', '-')}"


def _given(**given: Any) -> Mapping[str, Any]:
    return given


CREDENTIAL = {"credentialName": "new", "credentialAuthType": "api_key", "credentialSourceType": "internal"}
SERVICE = {"modelServiceName": "new", "modelType": "llm", "provider": "openai", "providerSettings": {"apiKey": "k"}}
BAILIAN = {"workspaceId": "w", "indexIds": ["i"]}
KNOWLEDGE_BASE = {"knowledgeBaseName": "new", "provider": "bailian", "providerSettings": BAILIAN}
BASE = "a base/with a slash 中文?"
ENDPOINTS = {"endpoints": [{"modelServiceName": "models", "modelNames": ["m-1"]}]}
PROXY = {"modelProxyName": "new", "proxyMode": "single", "cpu": 2, "memory": 4096, "proxyConfig": ENDPOINTS}
TEMPLATE = {
    "templateName": "new",
    "templateType": "CodeInterpreter",
    "cpu": 2,
    "memory": 4096,
    "networkConfiguration": {"networkMode": "PUBLIC"},
}
TOOL = {
    "toolName": "new",
    "toolType": "MCP",
    "createMethod": "MCP_REMOTE",
    "protocolSpec": '{"mcpServers": {"s": {"url": "https://example.com/mcp"}}}',
}
RUNTIME = {
    "agentRuntimeName": "new",
    "artifactType": "Code",
    "codeConfiguration": {"language": "python3.12", "command": ["python3", "main.py"], "zipFile": "UEsDBA=="},
    "cpu": 2,
    "memory": 1024,
    "port": 9000,
    "networkConfiguration": {"networkMode": "PUBLIC"},
}
_BAD_PAGE = _given(pageNumber=1, pageSize=101)
_PAGE_TEXT = "pageSize must be a whole number from 1 to 100, not '101'"

REFUSALS = (
    Refusal(
        "CreateCredential",
        TAKEN,
        "credential key already exists",
        (),
        _given(body={**CREDENTIAL, "credentialName": "key"}),
    ),
    Refusal(
        "CreateCredential",
        INVALID,
        "credentialAuthType must be",
        (),
        _given(body={**CREDENTIAL, "credentialAuthType": "x"}),
    ),
    Refusal("CreateCredential", INVALID, "credentialName", (), _given(body={**CREDENTIAL, "credentialName": " "})),
    Refusal(
        "CreateCredential", INVALID, "enabled must be a boolean", (), _given(body={**CREDENTIAL, "enabled": "yes"})
    ),
    Refusal(
        "CreateCredential", INVALID, "credentialSourceType is required", (), _given(body={"credentialName": "new"})
    ),
    Refusal("GetCredential", MISSING, "credential none does not exist", ("none",)),
    Refusal("UpdateCredential", MISSING, "credential none does not exist", ("none",), _given(body={"enabled": True})),
    Refusal("DeleteCredential", MISSING, "credential none does not exist", ("none",)),
    Refusal("ListCredentials", INVALID, _PAGE_TEXT, (), _BAD_PAGE),
    Refusal(
        "CreateKnowledgeBase",
        TAKEN,
        f"knowledge base {BASE} already exists",
        (),
        _given(body={**KNOWLEDGE_BASE, "knowledgeBaseName": BASE}),
    ),
    Refusal(
        "CreateKnowledgeBase", INVALID, "provider must be one of", (), _given(body={**KNOWLEDGE_BASE, "provider": "x"})
    ),
    Refusal(
        "CreateKnowledgeBase",
        INVALID,
        "no credential none",
        (),
        _given(body={**KNOWLEDGE_BASE, "credentialName": "none"}),
    ),
    Refusal(
        "CreateKnowledgeBase",
        INVALID,
        "providerSettings.indexIds is required for provider bailian; is indexIDs meant for it?",
        (),
        _given(body={**KNOWLEDGE_BASE, "providerSettings": {"workspaceId": "w", "indexIDs": ["i"]}}),
    ),
    Refusal(
        "CreateKnowledgeBase",
        INVALID,
        "providerSettings.indexIds must be a list of strings",
        (),
        _given(body={**KNOWLEDGE_BASE, "providerSettings": {"workspaceId": "w", "indexIds": "i"}}),
    ),
    Refusal("GetKnowledgeBase", MISSING, "knowledge base none does not exist", ("none",)),
    Refusal(
        "UpdateKnowledgeBase",
        MISSING,
        "knowledge base none does not exist",
        ("none",),
        _given(body={"description": "d"}),
    ),
    Refusal(
        "UpdateKnowledgeBase",
        INVALID,
        "providerSettings.dbInstanceId is required for provider adb",
        (BASE,),
        _given(body={"providerSettings": BAILIAN}),
    ),
    Refusal("DeleteKnowledgeBase", MISSING, "knowledge base none does not exist", ("none",)),
    Refusal("ListKnowledgeBases", INVALID, _PAGE_TEXT, (), _BAD_PAGE),
    Refusal(
        "CreateModelService", TAKEN, "models already exists", (), _given(body={**SERVICE, "modelServiceName": "models"})
    ),
    Refusal(
        "CreateModelService", INVALID, "no credential none", (), _given(body={**SERVICE, "credentialName": "none"})
    ),
    Refusal("CreateModelService", INVALID, "modelType is required", (), _given(body={"modelServiceName": "new"})),
    Refusal("GetModelService", MISSING, "model service none does not exist", ("none",)),
    Refusal(
        "UpdateModelService", MISSING, "model service none does not exist", ("none",), _given(body={"description": "d"})
    ),
    Refusal("UpdateModelService", INVALID, "no credential none", ("models",), _given(body={"credentialName": "none"})),
    Refusal("DeleteModelService", MISSING, "model service none does not exist", ("none",)),
    Refusal("DeleteModelService", CONFLICT, "model proxy proxy uses model service models", ("models",)),
    Refusal("ListModelServices", INVALID, _PAGE_TEXT, (), _BAD_PAGE),
    Refusal(
        "CreateModelProxy",
        TAKEN,
        "model proxy proxy already exists",
        (),
        _given(body={**PROXY, "modelProxyName": "proxy"}),
    ),
    Refusal("CreateModelProxy", INVALID, "proxyMode must be one of", (), _given(body={**PROXY, "proxyMode": "x"})),
    Refusal("CreateModelProxy", INVALID, "no credential none", (), _given(body={**PROXY, "credentialName": "none"})),
    Refusal("CreateModelProxy", INVALID, "at least one endpoint", (), _given(body={**PROXY, "proxyConfig": {}})),
    Refusal(
        "CreateModelProxy",
        INVALID,
        "endpoints[0].modelServiceName: there is no model service none",
        (),
        _given(body={**PROXY, "proxyConfig": {"endpoints": [{"modelServiceName": "none"}]}}),
    ),
    Refusal(
        "CreateModelProxy",
        INVALID,
        "endpoints[0] needs either a modelServiceName or a baseUrl",
        (),
        _given(body={**PROXY, "proxyConfig": {"endpoints": [{"modelNames": ["m-1"]}]}}),
    ),
    Refusal(
        "CreateModelProxy",
        INVALID,
        "fallbacks[0]: the proxy has no model m-9; it has m-1",
        (),
        _given(body={**PROXY, "proxyConfig": {**ENDPOINTS, "policies": {"fallbacks": [{"modelName": "m-9"}]}}}),
    ),
    Refusal(
        "CreateModelProxy",
        UNSUPPORTED,
        "blockOnMaliciousUrl is not possible without a model that moderates",
        (),
        _given(
            body={
                **PROXY,
                "proxyConfig": {**ENDPOINTS, "policies": {"aiGuardrailConfig": {"blockOnMaliciousUrl": True}}},
            }
        ),
    ),
    Refusal("GetModelProxy", MISSING, "model proxy none does not exist", ("none",)),
    Refusal(
        "UpdateModelProxy", MISSING, "model proxy none does not exist", ("none",), _given(body={"description": "d"})
    ),
    Refusal(
        "UpdateModelProxy",
        INVALID,
        "policies.fallbacks[0].modelServiceName: there is no model service none",
        ("proxy",),
        _given(body={"proxyConfig": {"policies": {"fallbacks": [{"modelServiceName": "none"}]}}}),
    ),
    Refusal("DeleteModelProxy", MISSING, "model proxy none does not exist", ("none",)),
    Refusal("ListModelProxies", INVALID, _PAGE_TEXT, (), _BAD_PAGE),
    Refusal("ListModelProviders", INVALID, _PAGE_TEXT, (), _BAD_PAGE),
    Refusal(
        "CreateTemplate",
        TAKEN,
        "template template already exists",
        (),
        _given(body={**TEMPLATE, "templateName": "template"}),
    ),
    Refusal("CreateTemplate", INVALID, "cpu must be at least 2", (), _given(body={**TEMPLATE, "cpu": 1})),
    Refusal(
        "CreateTemplate", INVALID, "diskSize must be 10240", (), _given(body={**TEMPLATE, "templateType": "Browser"})
    ),
    Refusal(
        "CreateTemplate", INVALID, "templateType must be one of", (), _given(body={**TEMPLATE, "templateType": "Other"})
    ),
    Refusal(
        "CreateTemplate",
        INVALID,
        "PRIVATE is not possible",
        (),
        _given(body={**TEMPLATE, "networkConfiguration": {"networkMode": "PRIVATE"}}),
    ),
    Refusal("GetTemplate", MISSING, "template none does not exist", ("none",)),
    Refusal("UpdateTemplate", MISSING, "template none does not exist", ("none",), _given(body={"memory": 1})),
    Refusal("UpdateTemplate", INVALID, "cpu must be at least 2", ("template",), _given(body={"cpu": 1})),
    Refusal("DeleteTemplate", MISSING, "template none does not exist", ("none",)),
    Refusal("ListTemplates", INVALID, _PAGE_TEXT, (), _BAD_PAGE),
    Refusal(
        "CreateAgentRuntime",
        TAKEN,
        "agent runtime agent already exists",
        (),
        _given(body={**RUNTIME, "agentRuntimeName": "agent"}),
    ),
    Refusal("CreateAgentRuntime", INVALID, "zipFile cannot be read as a zip", (), _given(body=RUNTIME)),
    Refusal(
        "CreateAgentRuntime",
        INVALID,
        "artifactType must be one of",
        (),
        _given(body={**RUNTIME, "artifactType": "Other"}),
    ),
    Refusal("CreateAgentRuntime", INVALID, "port must be from 1 to 65535", (), _given(body={**RUNTIME, "port": 70000})),
    Refusal(
        "CreateAgentRuntime", UNSUPPORTED, "container images", (), _given(body={**RUNTIME, "artifactType": "Container"})
    ),
    Refusal("GetAgentRuntime", MISSING, "agent runtime none does not exist", ("none",)),
    Refusal(
        "GetAgentRuntime", MISSING, "version 9 of agent does not exist", ("{runtime}",), _given(agentRuntimeVersion="9")
    ),
    Refusal("UpdateAgentRuntime", MISSING, "agent runtime none does not exist", ("none",), _given(body={"cpu": 1})),
    Refusal("UpdateAgentRuntime", INVALID, "cpu is required", ("{runtime}",), _given(body={"description": "d"})),
    Refusal("DeleteAgentRuntime", MISSING, "agent runtime none does not exist", ("none",)),
    Refusal("ListAgentRuntimes", INVALID, "searchMode must be", (), _given(agentRuntimeName="a", searchMode="other")),
    Refusal(
        "PublishRuntimeVersion",
        MISSING,
        "agent runtime none does not exist",
        ("none",),
        _given(body={"description": "d"}),
    ),
    Refusal("ListAgentRuntimeVersions", MISSING, "agent runtime none does not exist", ("none",)),
    Refusal(
        "CreateAgentRuntimeEndpoint",
        TAKEN,
        "agent runtime endpoint prod already exists",
        ("{runtime}",),
        _given(body={"agentRuntimeEndpointName": "prod"}),
    ),
    Refusal(
        "CreateAgentRuntimeEndpoint",
        INVALID,
        "version 9 of agent was not published",
        ("{runtime}",),
        _given(body={"agentRuntimeEndpointName": "new", "targetVersion": "9"}),
    ),
    Refusal(
        "CreateAgentRuntimeEndpoint",
        MISSING,
        "agent runtime none does not exist",
        ("none",),
        _given(body={"description": "d"}),
    ),
    Refusal("GetAgentRuntimeEndpoint", MISSING, "endpoint none does not exist", ("{runtime}", "none")),
    Refusal("GetAgentRuntimeEndpoint", MISSING, "agent runtime none does not exist", ("none", "{endpoint}")),
    Refusal(
        "UpdateAgentRuntimeEndpoint",
        INVALID,
        "weight of version 1 is negative",
        ("{runtime}", "{endpoint}"),
        _given(body={"routingConfiguration": {"versionWeights": [{"version": "1", "weight": -1}]}}),
    ),
    Refusal("DeleteAgentRuntimeEndpoint", MISSING, "endpoint none does not exist", ("{runtime}", "none")),
    Refusal("ListAgentRuntimeEndpoints", MISSING, "agent runtime none does not exist", ("none",)),
    Refusal("CreateSandbox", MISSING, "template none does not exist", (), _given(body={"templateName": "none"})),
    Refusal(
        "CreateSandbox",
        TAKEN,
        "sandbox {sandbox} already exists",
        (),
        _given(body={"templateName": "template", "sandboxId": "{sandbox}"}),
    ),
    Refusal(
        "CreateSandbox",
        INVALID,
        "/proc cannot be the target of a mount",
        (),
        _given(
            body={
                "templateName": "template",
                "nasConfig": {"mountPoints": [{"serverAddr": "a:/", "mountDir": "/proc"}]},
            }
        ),
    ),
    Refusal("GetSandbox", MISSING, "sandbox none does not exist", ("none",)),
    Refusal("CreateTool", TAKEN, "tool tool already exists", (), _given(body={**TOOL, "toolName": "tool"})),
    Refusal("CreateTool", INVALID, "toolType must be one of", (), _given(body={**TOOL, "toolType": "x"})),
    Refusal("CreateTool", INVALID, "createMethod is required", (), _given(body={"toolName": "x", "toolType": "MCP"})),
    Refusal("CreateTool", INVALID, "no credential none", (), _given(body={**TOOL, "credentialName": "none"})),
    Refusal("CreateTool", UNSUPPORTED, "container images", (), _given(body={**TOOL, "artifactType": "Container"})),
    Refusal("GetTool", MISSING, "tool none does not exist", ("none",)),
    Refusal("UpdateTool", MISSING, "tool none does not exist", ("none",), _given(body={"description": "d"})),
    Refusal("UpdateTool", INVALID, "protocolSpec must be JSON", ("tool",), _given(body={"protocolSpec": "{"})),
    Refusal("DeleteTool", MISSING, "tool none does not exist", ("none",)),
    Refusal("ListTools", INVALID, _PAGE_TEXT, (), _BAD_PAGE),
    Refusal("ActivateTemplateMCP", MISSING, "template none does not exist", ("none",), _given(transport="sse")),
    Refusal("ActivateTemplateMCP", INVALID, "transport must be sse", ("template",), _given(transport="x")),
    Refusal("ActivateTemplateMCP", INVALID, "no tool run", ("template",), _given(enabledTools=["run"])),
    Refusal("StopTemplateMCP", MISSING, "template none does not exist", ("none",)),
    Refusal("DeleteSandbox", MISSING, "sandbox none does not exist", ("none",)),
    Refusal("StopSandbox", MISSING, "sandbox none does not exist", ("none",)),
    Refusal("PauseSandbox", MISSING, "sandbox none does not exist", ("none",)),
    Refusal("ResumeSandbox", (410, "ERR_SANDBOX_TERMINATED"), "is TERMINATED: stopped", ("{stopped}",)),
    Refusal("ListSandboxes", INVALID, "nextToken must be a whole number", (), _given(nextToken="x")),
    Refusal("GetAccessToken", INVALID, "resourceType must be one of", (), _given(resourceType="x", resourceName="y")),
    Refusal("GetAccessToken", INVALID, "resourceName or resourceId is required", (), _given(resourceType="sandbox")),
)
