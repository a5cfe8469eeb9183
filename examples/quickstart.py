"""The platform in one script: a credential, a model, an agent, a sandbox; then everything is deleted again.

On this machine:     agentrun emulator exec --script examples/quickstart_model.py -- python examples/quickstart.py
Against the cloud:   the same script, with AGENTRUN_* and OPENAI_* set to your own values.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from agentrun import (
    AgentRuntime,
    AgentRuntimeCode,
    AgentRuntimeCreateInput,
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeHealthCheckConfig,
    AgentRuntimeLanguage,
    Credential,
    CredentialConfig,
    ModelService,
    ProviderSettings,
    Sandbox,
    Template,
    TemplateType,
)

RUN = uuid4().hex[:8]
AGENT = Path(__file__).parent / "agents" / "analyst"
QUESTION = "What is the standard deviation of 3, 5, 8 and 13?"
steps: list[tuple[str, float]] = []


@contextmanager
def step(what: str) -> Generator[None]:
    """Say what is being done, and remember how long it took."""
    print(f"- {what} ... ", end="", flush=True)
    began = time.perf_counter()
    yield
    steps.append((what, time.perf_counter() - began))
    print("done", flush=True)


with step("store a key"):
    credential = Credential.create(
        credential_name=f"key-{RUN}",
        credential_config=CredentialConfig.outbound_llm_api_key(os.environ["OPENAI_API_KEY"], "openai"),
    )

with step("register a model"):
    model = ModelService.create(
        model_service_name=f"model-{RUN}",
        model_type="llm",
        provider="openai",
        credential_name=credential.credential_name,
        provider_settings=ProviderSettings(
            base_url=os.environ["OPENAI_BASE_URL"], model_names=[os.environ.get("OPENAI_MODEL", "scripted")]
        ),
    )

with step("make a template for sandboxes"):
    template = Template.create(template_name=f"python-{RUN}", template_type=TemplateType.CODE_INTERPRETER)

with step("upload the agent and wait until it is ready"):
    runtime = AgentRuntime.create(
        AgentRuntimeCreateInput(
            agent_runtime_name=f"analyst-{RUN}",
            code_configuration=AgentRuntimeCode.from_file(
                AgentRuntimeLanguage.PYTHON312, ["python", "main.py"], str(AGENT)
            ),
            health_check_configuration=AgentRuntimeHealthCheckConfig(http_get_url="/health"),
            environment_variables={
                "MODEL_SERVICE": f"model-{RUN}",
                "TEMPLATE": f"python-{RUN}",
            },
        )
    ).wait_until_ready()

with step("give it an endpoint"):
    endpoint = runtime.create_endpoint(AgentRuntimeEndpointCreateInput(agent_runtime_endpoint_name="prod"))
    endpoint.wait_until_ready()

with step("ask it"):
    print(f"\n    > {QUESTION}\n    < ", end="")
    answer = ""
    for chunk in runtime.invoke_openai("prod", messages=[{"role": "user", "content": QUESTION}], stream=True):
        text = chunk.choices[0].delta.content or ""
        answer += text
        print(text, end="", flush=True)
    print("\n  ", end="")
    assert "4.35" in answer, f"the agent answered {answer!r}"

with step("use a sandbox directly"), Sandbox.create(template_name=f"python-{RUN}") as sandbox:
    result = sandbox.context.execute("import math; print(math.pi)")
    assert result.stdout.startswith("3.14159"), result
    sandbox.file.write("/home/user/notes.txt", "kept between calls\n")
    assert sandbox.file.read("/home/user/notes.txt")["content"] == "kept between calls\n"
    listing = sandbox.process.cmd("wc -l < notes.txt", cwd="/home/user")
    assert listing["result"]["stdout"].strip() == "1", listing

with step("delete everything"):
    runtime.delete_and_wait_until_finished()
    template.delete_and_wait_until_finished()
    model.delete()
    credential.delete()

names = [
    *(item.credential_name for item in Credential.list_all()),
    *(item.model_service_name for item in ModelService.list_all()),
    *(item.template_name for item in Template.list_templates()),
    *(item.agent_runtime_name for item in AgentRuntime.list_all()),
]
left = [name for name in names if name and name.endswith(RUN)]
assert not left, f"left behind: {left}"

print("\nwhat                                             ms")
for what, seconds in steps:
    print(f"{what:44} {seconds * 1000:6.0f}")
