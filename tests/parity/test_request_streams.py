"""For the same call our SDK sends the requests of the official client, but for what is named here with its reason."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from agentrun import (
    AgentRuntime,
    Config,
    Credential,
    CredentialConfig,
    ModelClient,
    ModelProxy,
    ModelProxyCreateInput,
    ModelType,
    ProxyConfig,
    ProxyConfigAIGuardrailConfig,
    ProxyConfigEndpoint,
    ProxyConfigFallback,
    ProxyConfigPolicies,
    ProxyConfigTokenRateLimiter,
    Sandbox,
    Status,
    Template,
    TemplateType,
)
from agentrun.emulator.wire.table import table
from tests.parity.generated import MODES, Generated
from tests.parity.streams import Line, differences, line, official, recorder
from tests.unit.recording import Do, Platform, Sent, blocking, enveloped, in_both_modes
from tests.unit.test_requests import CALLS, HI, Call, answered, interpreter, service

# Calls that are requests of their own in the recordings, and that the unit tests of single requests do not make.
MORE: Mapping[str, Call] = {
    "AgentRuntime.delete": lambda do, c: do(AgentRuntime, "delete_by_id", "rt-id-1", config=c),
    "AgentRuntime.get [STS creds]": lambda do, c: do(
        AgentRuntime, "get_by_id", "rt-id-1", config=c.replace(security_token="TOKEN")
    ),
    "AgentRuntime.get [custom headers+token]": lambda do, c: do(
        AgentRuntime, "get_by_id", "rt-id-1", config=c.replace(headers={"X-Foo": "bar"}, token="tok")
    ),
    "Credential.create(inbound_api_key)": lambda do, c: do(
        Credential,
        "create",
        credential_name="cred-2",
        credential_config=CredentialConfig.inbound_api_key("k"),
        config=c,
    ),
    "Credential.create(custom_header)": lambda do, c: do(
        Credential,
        "create",
        credential_name="cred-5",
        credential_config=CredentialConfig.outbound_tool_custom_header({"X-A": "1"}),
        config=c,
    ),
    "Credential.update(secret)": lambda do, c: do(
        Credential,
        "update_by_name",
        "cred-1",
        credential_config=CredentialConfig.outbound_llm_api_key("sk-y", "openai"),
        config=c,
    ),
    "Model.get(no backend)": lambda do, c: do(ModelClient(c), "get", "ms-1"),
    "Model.delete(no backend)": lambda do, c: do(ModelClient(c), "delete", "ms-1"),
    "ModelProxy.create": lambda do, c: do(ModelProxy, "create", proxy_input(), c),
    "ModelProxy.get": lambda do, c: do(ModelProxy, "get_by_name", "mp-1", c),
    "ModelProxy.list": lambda do, c: do(ModelProxy, "list_all", proxy_mode="single", status=Status.READY, config=c),
    "ModelProxy.update": lambda do, c: do(ModelProxy, "update_by_name", "mp-1", description="d2", config=c),
    "ModelProxy.update(1 ep)": lambda do, c: do(
        ModelProxy,
        "update_by_name",
        "mp-1",
        description="d2",
        proxy_config=ProxyConfig(endpoints=[ProxyConfigEndpoint(model_service_name="ms-1", model_names=["m1"])]),
        config=c,
    ),
    "ModelProxy.delete": lambda do, c: do(ModelProxy, "delete_by_name", "mp-1", c),
    "ModelProxy(cred).model_info": lambda do, c: do(guarded(c), "model_info"),
    "ModelProxy(cred).completion": lambda do, c: do(guarded(c), "completion", HI),
    "ModelService.embedding": lambda do, c: do(service(c), "embedding", ["a"], "emb"),
    "Template.update": lambda do, c: do(Template, "update_by_name", "tpl-1", description="d2", config=c),
    "Sandbox.create(CI)": lambda do, c: do(Sandbox, "create", TemplateType.CODE_INTERPRETER, "tpl-1", config=c),
    "Sandbox.connect": lambda do, c: do(Sandbox, "connect", "01SB", config=c),
    "STS": lambda do, c: do(
        Sandbox, "connect", "01SB", TemplateType.CODE_INTERPRETER, config=c.replace(security_token="TOKEN")
    ),
    "with sandbox": lambda do, c: entered(do, c),
    "file_system.upload": lambda do, c: uploaded(do, c),
    "file_system.download": lambda do, c: downloaded(do, c),
    "[raw] PublishRuntimeVersion": lambda do, c: do(AgentRuntime, "publish_version_by_id", "rt-1", "v1", config=c),
    "[raw] PauseSandbox": lambda do, c: do(Sandbox, "pause_by_id", "sb-1", config=c),
    "[raw] ResumeSandbox": lambda do, c: do(Sandbox, "resume_by_id", "sb-1", config=c),
    "ModelService.completion(stream)": lambda do, c: do(service(c), "completion", HI, stream=True),
}
COMPARED: Mapping[str, Call] = {**CALLS, **MORE}

_READ_FIRST = "the type of the sandbox is said in the call, so nothing needs to be looked up"
_READY_ALREADY = "the answer to the creation says READY already"
_NOT_RESET = "what the caller did not give must not be reset"
DIFFERENCES: Mapping[str, Mapping[str, str]] = {
    "AgentRuntime.update": {"body.port: 9000 absent": _NOT_RESET},
    "AgentRuntime.delete": {
        "only ours: GET /2025-09-10/agents/runtimes/rt-id-1/endpoints": "endpoints are deleted first, by the client too"
    },
    "Endpoint.update": {'body.targetVersion: "LATEST" absent': _NOT_RESET},
    "Template.update": {
        "body.cpu: 2.0 absent": _NOT_RESET,
        "body.memory: 4096 absent": _NOT_RESET,
        'body.networkConfiguration: {"networkMode": "PUBLIC"} absent': _NOT_RESET,
        "body.sandboxIdleTimeoutInSeconds: 1800 absent": _NOT_RESET,
        "body.sandboxTTLInSeconds: 21600 absent": _NOT_RESET,
    },
    **{
        f"Template.create({kind})": {"only theirs: GET /2025-09-10/templates/templateName-x": _READY_ALREADY}
        for kind in ("CodeInterpreter", "Browser", "AllInOne", "CustomImage")
    },
    "Sandbox.create(CI)": {"only theirs: GET /2025-09-10/templates/tpl-1": _READ_FIRST},
    "Sandbox.create w/ mounts": {"only theirs: GET /2025-09-10/templates/tpl-1": _READ_FIRST},
    "file_system.upload": {
        "body[0]: a form": "every file is sent as application/octet-stream; theirs guesses a type by its name"
    },
}
# Recorded calls that have no counterpart here yet, or none of their own.
NOT_COMPARED: Mapping[str, str] = {
    "AgentRuntime.create_async": "each call is made in both modes",
    "Sandbox.create_async": "each call is made in both modes",
    "ModelService.acompletion": "each call is made in both modes",
    "ModelService.completions (deprecated)": "another name of completion",
    "connect with X-API-Key, no AK": "needs a machine without any credentials",
    "token config (no AK)": "needs a machine without any credentials",
    "AgentRuntime.create(workspace_name)": "workspaces are a part of their own",
    "MemoryCollection": "memory collections are a part of their own",
    "KnowledgeBase": "knowledge bases are a part of their own",
    "KB(": "knowledge bases are a part of their own",
    "Tool": "tools are a part of their own",
    "SuperAgent": "super agents are a part of their own",
    "Sandbox.create(Browser)": "browsers are a part of their own",
    "browser.": "browsers are a part of their own",
    "BrowserSandbox": "browsers are a part of their own",
    "[raw] CreateSandbox": "our SDK creates sandboxes on the data plane",
    "[raw] GetSandbox": "our SDK reads sandboxes on the data plane",
    "[raw] StopSandbox": "our SDK stops sandboxes on the data plane",
    "[raw] DeleteSandbox": "our SDK deletes sandboxes on the data plane",
    "[raw] GetAccessToken": "our SDK signs and needs no token",
    "[raw] CreateTool": "tools are a part of their own",
    "[raw] ListTools": "tools are a part of their own",
    "[raw] UpdateTool": "tools are a part of their own",
    "[raw] DeleteTool": "tools are a part of their own",
    "[raw] ActivateTemplateMCP": "templates as MCP servers are a part of their own",
    "[raw] ListWorkspaces": "workspaces are a part of their own",
}
PROVIDER = "only theirs signed: x-acs-credentials-provider"


def proxy_input() -> ModelProxyCreateInput:
    endpoints = [
        ProxyConfigEndpoint(model_service_name="ms-1", model_names=["m1"], weight=100),
        ProxyConfigEndpoint(model_service_name="ms-2", model_names=["m2"]),
    ]
    policies = ProxyConfigPolicies(
        cache=False,
        concurrency_limit=10,
        fallbacks=[ProxyConfigFallback(model_name="m2", model_service_name="ms-2")],
        num_retries=2,
        request_timeout=60,
        ai_guardrail_config=ProxyConfigAIGuardrailConfig(check_request=True),
        token_rate_limiter=ProxyConfigTokenRateLimiter(tpm=1000),
    )
    return ModelProxyCreateInput(
        model_proxy_name="mp-1",
        description="d",
        model_type=ModelType.LLM,
        execution_role_arn="acs:ram::1:role/x",
        proxy_config=ProxyConfig(endpoints=endpoints, policies=policies),
    )


def guarded(config: Config) -> ModelProxy:
    shown = {"modelProxyName": "mp", "credentialName": "c", "endpoint": "http://data.test/models/mp"}
    return ModelProxy.of(shown, config)


def entered(do: Do, config: Config) -> None:
    async def enter() -> None:
        async with interpreter(config):
            pass

    if do is not blocking:
        asyncio.run(enter())
        return
    with interpreter(config):
        pass


def uploaded(do: Do, config: Config) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "up.txt")
        file.write_text("upload-me")
        do(interpreter(config).file_system, "upload", file, "/tmp/up.txt")


def downloaded(do: Do, config: Config) -> None:
    with tempfile.TemporaryDirectory() as folder:
        do(interpreter(config).file_system, "download", "/tmp/up.txt", Path(folder, "down.txt"))


def answer(sent: Sent) -> httpx.Response:
    if sent.path.endswith("/health"):
        return httpx.Response(200, json={"status": "ok"})
    if sent.path.endswith("/credentials/c"):
        return enveloped({"credentialName": "c", "credentialSecret": "SECRET-KEY"})
    if b'"stream":true' in sent.content:
        return httpx.Response(200, text="data: [DONE]\n\n", headers={"content-type": "text/event-stream"})
    return answered(sent)


def made(do: Do, call: Call) -> list[Line]:
    """The requests that our SDK sends for a call."""
    platform = Platform(answer)
    call(do, platform.config())
    return [
        line(sent.method, sent.path, sent.query.items(), sent.headers, sent.content.decode())
        for sent in platform.requests
    ]


def is_unasked(difference: str) -> bool:
    """Whether theirs sends an empty list or a null where nobody gave anything; the platform takes neither for given."""
    return difference.startswith("body.") and difference.endswith((": [] absent", ": null absent"))


def named(difference: str) -> str:
    return "body[0]: a form" if difference.startswith('body[0]: "Content-Disposition') else difference


@in_both_modes
@pytest.mark.parametrize("label", COMPARED)
def test_the_streams_are_the_same(label: str, do: Do) -> None:
    theirs, ours = official()[label], made(do, COMPARED[label])
    found = [named(text) for text in differences(theirs, ours) if not is_unasked(text)]
    # The name of a class of theirs, which they send and sign with every control request.
    control = [request for request in theirs if request.action and request.target in [own.target for own in ours]]
    assert found.count(PROVIDER) == len(control)
    assert {text for text in found if text != PROVIDER} == set(DIFFERENCES.get(label, {}))


def test_every_recorded_call_is_compared_or_has_a_reason() -> None:
    left = [label for label in official() if label not in COMPARED]
    assert [label for label in left if not label.startswith(tuple(NOT_COMPARED))] == []
    assert [name for name in NOT_COMPARED if not any(label.startswith(name) for label in left)] == []


def test_a_difference_is_found() -> None:
    theirs = official()["Credential.update"]
    changed = line("PUT", theirs[0].path, [("a", "b")], {"content-type": "application/json"}, '{"description":"d3"}')
    assert differences(theirs, [changed]) == [
        'query.a: absent "b"',
        'body.description: "d2" "d3"',
        "body.enabled: false absent",
        *(f"only theirs signed: {name}" for name in theirs[0].signed),
        "action: UpdateCredential ",
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES)
async def test_the_generated_client_sends_what_was_recorded(mode: str) -> None:
    """So that what ours is compared with is what the generated client of today sends, too."""
    recorded = [request for label in COMPARED for request in official()[label] if request.action]
    with recorder() as (url, lines):
        # A scheme in the endpoint is the one way to make this client speak plain HTTP.
        client = Generated(url, "AKID", "SECRET", mode)
        for request in recorded:
            _, names = table().route(request.method, request.path)
            body = {} if request.body is None else {"body": request.body}
            await client.call(request.action, *names, **dict(request.query), **body)
    assert len(recorded) == len(lines) > 40
    sts = {"x-acs-accesskey-id", "x-acs-security-token"}
    for request, sent in zip(recorded, lines, strict=True):
        assert [text for text in differences([request], [sent]) if text.rpartition(" ")[2] not in sts] == []
