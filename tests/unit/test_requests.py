"""The same call sends the same request as the official client, in both modes.

`official_requests.json` holds what the official client sent. Empty lists and nulls, which it adds without being
asked, are not compared; what it wrongly resets is named in `NOT_RESET`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from agentrun import (
    AgentRuntime,
    AgentRuntimeClient,
    AgentRuntimeCode,
    AgentRuntimeContainer,
    AgentRuntimeCreateInput,
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeEndpointUpdateInput,
    AgentRuntimeHealthCheckConfig,
    AgentRuntimeLanguage,
    AgentRuntimeLogConfig,
    AgentRuntimeProtocolConfig,
    AgentRuntimeUpdateInput,
    CodeInterpreterSandbox,
    Config,
    Credential,
    CredentialBasicAuth,
    CredentialConfig,
    CredentialSourceType,
    ModelInfoConfig,
    ModelParameterRule,
    ModelService,
    ModelServiceUpdateInput,
    ModelType,
    NASConfig,
    NASMountConfig,
    NetworkConfig,
    NetworkMode,
    OSSMountConfig,
    OSSMountPoint,
    PolarFsConfig,
    PolarFsMountConfig,
    ProviderSettings,
    Sandbox,
    Template,
    TemplateInput,
    TemplateType,
)
from agentrun.agent_runtime.endpoint import AgentRuntimeEndpoint
from agentrun.agent_runtime.model import (
    AgentRuntimeEndpointRoutingConfig,
    AgentRuntimeEndpointRoutingWeight,
    ScalingConfig,
    ScheduledPolicy,
)
from agentrun.model.model import ModelFeatures, ModelProperties
from agentrun.sandbox.model import TemplateContainerConfiguration
from tests.unit.recording import Do, Platform, Sent, in_both_modes

OFFICIAL: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("official_requests.json").read_text())
# The official client sends these defaults beside what was changed, and so resets them.
NOT_RESET = {"AgentRuntime.update": ["port"], "Endpoint.update": ["targetVersion"]}

Call: TypeAlias = Callable[[Do, Config], object]


def container_input() -> AgentRuntimeCreateInput:
    return AgentRuntimeCreateInput(
        agent_runtime_name="rt-1",
        container_configuration=AgentRuntimeContainer(image="registry/x:1", command=["python", "app.py"], port=9000),
        environment_variables={"A": "B"},
        health_check_configuration=AgentRuntimeHealthCheckConfig(http_get_url="/health"),
        log_configuration=AgentRuntimeLogConfig(project="p", logstore="l"),
        protocol_configuration=AgentRuntimeProtocolConfig(),
    )


def code_input() -> AgentRuntimeCreateInput:
    return AgentRuntimeCreateInput(
        agent_runtime_name="rt-2",
        code_configuration=AgentRuntimeCode(
            language=AgentRuntimeLanguage.PYTHON312, command=["python", "main.py"], zip_file="UEsDBA==", checksum="123"
        ),
        network_configuration=NetworkConfig(
            network_mode=NetworkMode.PRIVATE, vpc_id="vpc-1", vswitch_ids=["vsw-1"], security_group_id="sg-1"
        ),
    )


def endpoint_input() -> AgentRuntimeEndpointCreateInput:
    policy = ScheduledPolicy(name="n", schedule_expression="cron(0 0 8 * * *)", target=2, time_zone="Asia/Shanghai")
    weight = AgentRuntimeEndpointRoutingWeight(version="1", weight=0.8)
    return AgentRuntimeEndpointCreateInput(
        agent_runtime_endpoint_name="prod",
        description="d",
        routing_configuration=AgentRuntimeEndpointRoutingConfig(version_weights=[weight]),
        scaling_config=ScalingConfig(min_instances=1, scheduled_policies=[policy]),
    )


def info_config() -> ModelInfoConfig:
    return ModelInfoConfig(
        model_name="gpt",
        model_features=ModelFeatures(tool_call=True),
        model_properties=ModelProperties(context_size=8192),
        model_parameter_rules=[ModelParameterRule(name="temperature", type="float", default=1, min=0, max=2)],
    )


def template(kind: TemplateType) -> TemplateInput:
    return TemplateInput(template_name="tpl-1", template_type=kind, description="d")


def custom_template() -> TemplateInput:
    return TemplateInput(
        template_name="tpl-c",
        template_type=TemplateType.CUSTOM,
        container_configuration=TemplateContainerConfiguration(
            image="i", command=["c"], image_registry_type="ACR", port=5000
        ),
    )


def mounts() -> dict[str, Any]:
    nas = NASMountConfig(enable_tls=False, mount_dir="/mnt/nas", server_addr="s")
    oss = OSSMountPoint(bucket_name="b", bucket_path="/p", endpoint="e", mount_dir="/mnt/oss", read_only=False)
    polar = PolarFsMountConfig(instance_id="i", mount_dir="/mnt/p", remote_dir="/")
    return {
        "sandbox_id": "my-id",
        "nas_config": NASConfig(group_id=0, user_id=0, mount_points=[nas]),
        "oss_mount_config": OSSMountConfig(mount_points=[oss]),
        "polar_fs_config": PolarFsConfig(mount_points=[polar]),
    }


def interpreter(config: Config) -> CodeInterpreterSandbox:
    return CodeInterpreterSandbox.of({"sandboxId": "01SB", "templateName": "tpl-1"}, config)


def service(config: Config) -> ModelService:
    settings = {"apiKey": "sk-x", "baseUrl": "http://provider.test/v1", "modelNames": ["gpt-x"]}
    return ModelService.of({"modelServiceName": "ms-1", "providerSettings": settings}, config)


HI = [{"role": "user", "content": "hi"}]

CALLS: dict[str, Call] = {
    "AgentRuntime.create": lambda do, c: do(AgentRuntime, "create", container_input(), config=c),
    "AgentRuntime.create(code)": lambda do, c: do(AgentRuntime, "create", code_input(), config=c),
    "AgentRuntime.get": lambda do, c: do(AgentRuntime, "get_by_id", "rt-id-1", config=c),
    "AgentRuntime.list": lambda do, c: do(
        AgentRuntime,
        "list_all",
        agent_runtime_name="rt",
        search_mode="prefix",
        status="READY",
        system_tags="t1",
        config=c,
    ),
    "AgentRuntime.update": lambda do, c: do(
        AgentRuntime, "update_by_id", "rt-id-1", AgentRuntimeUpdateInput(description="d", cpu=4, memory=8192), config=c
    ),
    "AgentRuntime.list_versions": lambda do, c: do(
        AgentRuntimeClient(c), "list_versions", "rt-id-1", page_number=1, page_size=10
    ),
    "Endpoint.create": lambda do, c: do(AgentRuntimeEndpoint, "create_by_id", "rt-id-1", endpoint_input(), config=c),
    "Endpoint.get": lambda do, c: do(AgentRuntimeEndpoint, "get_by_id", "rt-id-1", "ep-1", config=c),
    "Endpoint.list": lambda do, c: do(
        AgentRuntimeClient(c),
        "list_endpoints",
        "rt-id-1",
        endpoint_name="prod",
        search_mode="exact",
        page_number=1,
        page_size=50,
    ),
    "Endpoint.update": lambda do, c: do(
        AgentRuntimeEndpoint,
        "update_by_id",
        "rt-id-1",
        "ep-1",
        AgentRuntimeEndpointUpdateInput(description="d2", delete_scaling_config=True),
        config=c,
    ),
    "Endpoint.delete": lambda do, c: do(AgentRuntimeEndpoint, "delete_by_id", "rt-id-1", "ep-1", config=c),
    "Credential.create": lambda do, c: do(
        Credential,
        "create",
        credential_name="cred-1",
        description="d",
        enabled=True,
        credential_config=CredentialConfig.outbound_llm_api_key("sk-x", "openai"),
        config=c,
    ),
    "Credential.create(inbound_basic)": lambda do, c: do(
        Credential,
        "create",
        credential_name="cred-3",
        credential_config=CredentialConfig.inbound_basic([CredentialBasicAuth(username="u", password="p")]),
        config=c,
    ),
    "Credential.create(outbound_tool_ak_sk)": lambda do, c: do(
        Credential,
        "create",
        credential_name="cred-4",
        credential_config=CredentialConfig.outbound_tool_ak_sk("aliyun", "ak", "sk", "acc"),
        config=c,
    ),
    "Credential.get": lambda do, c: do(Credential, "get_by_name", "cred-1", config=c),
    "Credential.list": lambda do, c: do(
        Credential, "list_all", credential_source_type=CredentialSourceType.LLM, provider="openai", config=c
    ),
    "Credential.update": lambda do, c: do(
        Credential, "update_by_name", "cred-1", description="d2", enabled=False, config=c
    ),
    "Credential.delete": lambda do, c: do(Credential, "delete_by_name", "cred-1", config=c),
    "ModelService.create": lambda do, c: do(
        ModelService,
        "create",
        model_service_name="ms-1",
        model_type=ModelType.LLM,
        provider="openai",
        credential_name="cred-1",
        description="d",
        model_info_configs=[info_config()],
        provider_settings=ProviderSettings(api_key="sk", base_url="https://x/v1", model_names=["gpt"]),
        config=c,
    ),
    "ModelService.get": lambda do, c: do(ModelService, "get_by_name", "ms-1", config=c),
    "ModelService.list": lambda do, c: do(
        ModelService, "list_all", model_type=ModelType.LLM, provider="openai", config=c
    ),
    "ModelService.update": lambda do, c: do(
        ModelService,
        "update_by_name",
        "ms-1",
        ModelServiceUpdateInput(description="d2", provider_settings=ProviderSettings(base_url="https://y")),
        config=c,
    ),
    "ModelService.delete": lambda do, c: do(ModelService, "delete_by_name", "ms-1", config=c),
    "Template.create(CodeInterpreter)": lambda do, c: do(
        Template, "create", template(TemplateType.CODE_INTERPRETER), config=c
    ),
    "Template.create(Browser)": lambda do, c: do(Template, "create", template(TemplateType.BROWSER), config=c),
    "Template.create(AllInOne)": lambda do, c: do(Template, "create", template(TemplateType.AIO), config=c),
    "Template.create(CustomImage)": lambda do, c: do(Template, "create", custom_template(), config=c),
    "Template.get": lambda do, c: do(Template, "get_by_name", "tpl-1", config=c),
    "Template.list": lambda do, c: do(Template, "list_templates", template_type=TemplateType.BROWSER, config=c),
    "Template.delete": lambda do, c: do(Template, "delete_by_name", "tpl-1", config=c),
    "Sandbox.list (control plane)": lambda do, c: do(
        Sandbox,
        "list",
        next_token="nt",
        status="READY",
        template_name="tpl-1",
        template_type=TemplateType.BROWSER,
        config=c,
    ),
    "Sandbox.create w/ mounts": lambda do, c: do(
        Sandbox, "create", TemplateType.CODE_INTERPRETER, "tpl-1", config=c, **mounts()
    ),
    "Sandbox.connect(type)": lambda do, c: do(Sandbox, "connect", "01SB", TemplateType.CODE_INTERPRETER, config=c),
    "sandbox.check_health": lambda do, c: do(interpreter(c), "check_health"),
    "sandbox.stop": lambda do, c: do(interpreter(c), "stop"),
    "sandbox.delete": lambda do, c: do(interpreter(c), "delete"),
    "context.create": lambda do, c: do(interpreter(c).context, "create"),
    "context.create(js)": lambda do, c: do(interpreter(c).context, "create", "javascript", "/"),
    "context.list": lambda do, c: do(interpreter(c).context, "list"),
    "context.get": lambda do, c: do(interpreter(c).context, "get", "ctx-1"),
    "context.execute": lambda do, c: do(interpreter(c).context, "execute", "print('hello')", context_id="ctx-1"),
    "context.execute(ctx)": lambda do, c: do(interpreter(c).context, "execute", "1", context_id="ctx-1", timeout=5),
    "context.execute(no ctx)": lambda do, c: do(interpreter(c).context, "execute", "1"),
    "context.delete": lambda do, c: do(interpreter(c).context, "delete", "ctx-1"),
    "file.write": lambda do, c: do(interpreter(c).file, "write", "/tmp/a.txt", "hi"),
    "file.read": lambda do, c: do(interpreter(c).file, "read", "/tmp/a.txt"),
    "file_system.list": lambda do, c: do(interpreter(c).file_system, "list", "/", 2),
    "file_system.stat": lambda do, c: do(interpreter(c).file_system, "stat", "/tmp/a b.txt"),
    "file_system.mkdir": lambda do, c: do(interpreter(c).file_system, "mkdir", "/tmp/d"),
    "file_system.move": lambda do, c: do(interpreter(c).file_system, "move", "/a", "/b"),
    "file_system.remove": lambda do, c: do(interpreter(c).file_system, "remove", "/a"),
    "process.cmd": lambda do, c: do(interpreter(c).process, "cmd", "ls", "/"),
    "process.list": lambda do, c: do(interpreter(c).process, "list"),
    "process.get": lambda do, c: do(interpreter(c).process, "get", "1"),
    "process.kill": lambda do, c: do(interpreter(c).process, "kill", "1"),
    "ModelService.completion": lambda do, c: do(service(c), "completion", HI),
}


def answered(sent: Sent) -> httpx.Response:
    """One answer that fits every operation: enveloped, and bare for what runs."""
    known = {
        "status": "READY",
        "id": "ctx-1",
        "sandboxId": "01SB",
        "templateName": "tpl-1",
        "agentRuntimeId": "rt-id-1",
    }
    return httpx.Response(200, json={"code": "SUCCESS", "requestId": "R", "data": known, **known})


def drop_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None and value != []}


def without_empty(value: Any) -> Any:
    """The value without nulls and empty lists, at any depth."""
    return json.loads(json.dumps(value), object_hook=drop_empty)


@in_both_modes
@pytest.mark.parametrize("label", CALLS)
def test_the_same_call_sends_the_same_request(label: str, do: Do) -> None:
    platform = Platform(answered)
    CALLS[label](do, platform.config())
    sent, expected = platform.requests[0], OFFICIAL[label]
    url = urlsplit(str(expected["path"]))
    body = without_empty(expected["body"])
    for name in NOT_RESET.get(label, []):
        del body[name]
    assert (sent.method, sent.path) == (expected["method"], url.path)
    assert sent.query == dict(parse_qsl(url.query))
    assert without_empty(sent.body) == body
    assert len(platform.requests) == 1


def test_every_recorded_request_is_compared() -> None:
    special = {"file_system.download", "ModelService.completion(stream)"}
    assert set(OFFICIAL) - set(CALLS) == special
