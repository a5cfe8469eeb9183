"""A script written for the official SDK, which is also called `agentrun`; whoever runs it decides whose that is.

usage: python script.py FOLDER-OF-AN-AGENT URL-OF-A-MODEL NAME-OF-A-KNOWLEDGE-BASE

It reads where to connect from the environment and prints what it saw as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentrun.agent_runtime import (
    AgentRuntime,
    AgentRuntimeClient,
    AgentRuntimeCode,
    AgentRuntimeCreateInput,
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeEndpointUpdateInput,
    AgentRuntimeLanguage,
    AgentRuntimeUpdateInput,
)
from agentrun.credential import Credential, CredentialConfig, CredentialCreateInput, CredentialUpdateInput
from agentrun.knowledgebase import (
    BailianProviderSettings,
    BailianRetrieveSettings,
    KnowledgeBase,
    KnowledgeBaseCreateInput,
    KnowledgeBaseProvider,
    KnowledgeBaseUpdateInput,
)
from agentrun.model import (
    BackendType,
    ModelClient,
    ModelService,
    ModelServiceCreateInput,
    ModelServiceUpdateInput,
    ModelType,
    ProviderSettings,
)
from agentrun.sandbox import Sandbox, Template, TemplateInput, TemplateType
from agentrun.utils.exception import ClientError, ResourceAlreadyExistError, ResourceNotExistError

seen: dict[str, Any] = {}


def refusal(call: Callable[[], Any]) -> str:
    """The name of the error that a call ends with."""
    try:
        call()
    except (ResourceAlreadyExistError, ResourceNotExistError, ClientError) as error:
        return type(error).__name__
    return "nothing"


def credentials() -> None:
    wanted = CredentialCreateInput(
        credential_name="key",
        description="d",
        credential_config=CredentialConfig.outbound_llm_api_key("sk-1", "openai"),
    )
    created = Credential.create(wanted)
    seen["credential"] = [created.credential_name, created.credential_secret, created.credential_source_type]
    created.update(CredentialUpdateInput(description="changed", enabled=False))
    read = Credential.get_by_name("key")
    seen["credential changed"] = [read.description, read.enabled, read.credential_secret]
    seen["credentials"] = [item.credential_name for item in Credential.list_all()]
    seen["credential refusals"] = [
        refusal(lambda: Credential.create(wanted)),
        refusal(lambda: Credential.get_by_name("none")),
        refusal(lambda: Credential.delete_by_name("none")),
    ]


def models(base_url: str) -> None:
    wanted = ModelServiceCreateInput(
        model_service_name="models",
        model_type=ModelType.LLM,
        provider="openai",
        provider_settings=ProviderSettings(api_key="sk-1", base_url=base_url, model_names=["scripted"]),
    )
    service = ModelService.create(wanted)
    service.update(ModelServiceUpdateInput(description="changed"))
    read = ModelService.get_by_name("models")
    settings = read.provider_settings
    seen["model service"] = [read.description, read.provider, settings.model_names if settings else None]
    seen["model services"] = [item.model_service_name for item in ModelService.list_all()]
    seen["model by client"] = ModelClient().get("models", backend_type=BackendType.SERVICE).model_type
    answer: Any = read.completion([{"role": "user", "content": "say this"}])
    seen["completion"] = answer.choices[0].message.content
    chunks: Any = read.completion([{"role": "user", "content": "say that"}], stream=True)
    seen["completion in pieces"] = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    seen["model refusals"] = [
        refusal(lambda: ModelService.create(wanted)),
        refusal(lambda: ModelService.get_by_name("none")),
    ]


def knowledge_bases(kept: str) -> None:
    wanted = KnowledgeBaseCreateInput(
        knowledge_base_name="base",
        provider=KnowledgeBaseProvider.BAILIAN,
        provider_settings=BailianProviderSettings(workspace_id="w", index_ids=["i"]),
        retrieve_settings=BailianRetrieveSettings(rerank_top_n=3),
        description="d",
    )
    created = KnowledgeBase.create(wanted)
    created.update(KnowledgeBaseUpdateInput(description="changed"))
    read: Any = KnowledgeBase.get_by_name("base")
    seen["knowledge base"] = [read.description, read.provider, read.provider_settings.index_ids]
    seen["knowledge bases"] = [item.knowledge_base_name for item in KnowledgeBase.list_all(provider="bailian")]
    seen["knowledge base refusals"] = [
        refusal(lambda: KnowledgeBase.create(wanted)),
        refusal(lambda: KnowledgeBase.get_by_name("none")),
    ]
    found: Any = KnowledgeBase.get_by_name(kept).retrieve("zebra")
    seen["retrieved"] = [found["query"], found["knowledge_base_name"], [each["text"] for each in found["data"]]]
    several: Any = KnowledgeBase.multi_retrieve("zebra", [kept, "base"])
    seen["retrieved from several"] = [
        several["query"],
        [each["text"] for each in several["results"][kept]["data"]],
        several["results"]["base"]["error"],
        several["results"]["base"]["knowledge_base_name"],
        several["results"]["base"]["data"].startswith("Failed to retrieve: "),
    ]
    KnowledgeBase.delete_by_name("base")
    seen["knowledge base gone"] = refusal(lambda: KnowledgeBase.get_by_name("base"))


def sandboxes() -> None:
    wanted = TemplateInput(template_name="template", template_type=TemplateType.CODE_INTERPRETER)
    Sandbox.create_template(wanted)
    template = Template.get_by_name("template")
    seen["template"] = [template.template_name, str(template.status), template.sandbox_idle_timeout_in_seconds]
    seen["templates"] = [item.template_name for item in Template.list_templates()]
    seen["template refusals"] = [
        refusal(lambda: Sandbox.create_template(wanted)),
        refusal(lambda: Template.get_by_name("none")),
    ]
    sandbox: Any = Sandbox.create(template_type=TemplateType.CODE_INTERPRETER, template_name="template")
    with sandbox:
        seen["sandbox"] = [str(sandbox.status), sandbox.check_health()["status"]]
        work_inside(sandbox)
        connected: Any = Sandbox.connect(sandbox.sandbox_id)
        seen["connected"] = [type(connected).__name__, connected.sandbox_id == sandbox.sandbox_id]
    sandbox_id = sandbox.sandbox_id
    seen["sandbox refusals"] = [
        refusal(lambda: Sandbox.connect(sandbox_id)),
        refusal(lambda: Sandbox.create(template_type=TemplateType.CODE_INTERPRETER, template_name="none")),
    ]


def work_inside(sandbox: Any) -> None:
    with sandbox.context.create() as context:
        context.execute("x = 6 * 7")
        result: Any = context.execute("print(x)")
        seen["execute"] = [entry["text"] for entry in results(result) if entry["type"] == "stdout"]
        # Inside the block: the official SDK goes on naming the context that the block's end deletes.
        failed = results(context.execute("1 / 0"))
        seen["execute failed"] = [entry["name"] for entry in failed if entry["type"] == "error"]
    sandbox.file.write("/home/user/a.txt", "kept 中文")
    seen["file"] = sandbox.file.read("/home/user/a.txt")["content"]
    sandbox.file_system.mkdir("/home/user/d")
    sandbox.file_system.move("/home/user/a.txt", "/home/user/d/b.txt")
    seen["moved"] = [entry["name"] for entry in sandbox.file_system.list("/home/user/d")["entries"]]
    seen["stat"] = sandbox.file_system.stat("/home/user/d/b.txt")["size"]
    ended = sandbox.process.cmd("cat d/b.txt; exit 3", cwd="/home/user")
    seen["command"] = [ended["result"]["exitCode"], ended["result"]["stdout"]]
    sandbox.file_system.remove("/home/user/d")
    seen["file refusal"] = refusal(lambda: sandbox.file.read("/home/user/d/b.txt"))


def results(executed: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = executed["results"]
    return found


def runtimes(agent: str) -> None:
    wanted = AgentRuntimeCreateInput(
        agent_runtime_name="agent",
        code_configuration=AgentRuntimeCode.from_file(AgentRuntimeLanguage.PYTHON312, ["python3", "main.py"], agent),
    )
    runtime = AgentRuntime.create(wanted)
    seen["runtime created"] = str(runtime.status)
    runtime.wait_until_ready_or_failed(interval_seconds=0.05)
    seen["runtime"] = [runtime.agent_runtime_name, str(runtime.status), runtime.cpu, runtime.memory, runtime.port]
    seen["runtimes"] = [item.agent_runtime_name for item in AgentRuntime.list_all()]
    runtime.update(AgentRuntimeUpdateInput(description="changed"))
    runtime.wait_until_ready_or_failed(interval_seconds=0.05)
    seen["runtime changed"] = AgentRuntime.get_by_id(runtime.agent_runtime_id or "").description
    endpoints(runtime)
    seen["runtime refusals"] = [
        refusal(lambda: AgentRuntime.create(wanted)),
        refusal(lambda: AgentRuntimeClient().get("none")),
    ]
    runtime.delete()
    seen["runtime gone"] = gone(lambda: runtime.get())


def endpoints(runtime: AgentRuntime) -> None:
    endpoint = runtime.create_endpoint(AgentRuntimeEndpointCreateInput(agent_runtime_endpoint_name="prod"))
    endpoint.wait_until_ready_or_failed(interval_seconds=0.05)
    seen["endpoint"] = [endpoint.agent_runtime_endpoint_name, str(endpoint.status), endpoint.target_version]
    endpoint.update(AgentRuntimeEndpointUpdateInput(description="changed"))
    listed: Any = runtime.list_endpoints()
    seen["endpoints"] = [[item.agent_runtime_endpoint_name, item.description] for item in listed]


def gone(look: Callable[[], Any]) -> str:
    """The name of the error that a look ends with, once the resource is not being deleted any more."""
    for _ in range(200):
        if (name := refusal(look)) != "nothing":
            return name
    return "nothing"


async def asynchronously() -> None:
    read = await Credential.get_by_name_async("key")
    seen["asynchronous credential"] = read.credential_secret
    sandbox: Any = await Sandbox.create_async(template_type=TemplateType.CODE_INTERPRETER, template_name="template")
    async with sandbox:
        executed = await sandbox.context.execute_async("print(1 + 1)")
        seen["asynchronous execute"] = [entry["text"] for entry in results(executed) if entry["type"] == "stdout"]


def tidy_up() -> None:
    Sandbox.delete_template("template")
    ModelService.delete_by_name("models")
    Credential.delete_by_name("key")
    seen["left"] = [
        len(list(AgentRuntime.list_all())),
        len(list(ModelService.list_all())),
        len(list(Credential.list_all())),
    ]


if __name__ == "__main__":
    folder, model_url = Path(sys.argv[1]), sys.argv[2]
    credentials()
    models(model_url)
    knowledge_bases(sys.argv[3])
    sandboxes()
    runtimes(str(folder))
    asyncio.run(asynchronously())
    tidy_up()
    print(json.dumps(seen))
