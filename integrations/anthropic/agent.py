"""An agent of nothing but a loop, by the `anthropic` package, with an API, an MCP server and a sandbox of the platform.

The model is the scripted one, behind a service that speaks Anthropic's protocol:
agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.anthropic.agent
"""

from __future__ import annotations

from typing import Any

from agentrun.integration.anthropic import model, sandbox_toolset, tool_resource, toolset
from integrations.anthropic.service import claude
from integrations.scenario.platform import Names, platform


def answer(question: str, names: Names, service: str) -> str:
    llm = model(service)
    messages: list[Any] = [{"role": "user", "content": question}]
    with toolset(names.weather).joined(tool_resource(names.units), sandbox_toolset(names.sandboxes)) as tools:
        while True:
            reply = llm.client.messages.create(model=llm.name, max_tokens=1000, messages=messages, tools=tools)
            if reply.stop_reason != "tool_use":
                return "".join(block.text for block in reply.content if block.type == "text")
            messages += [{"role": "assistant", "content": reply.content}, *tools.run_calls(reply)]


if __name__ == "__main__":
    with platform() as names, claude() as (service, _):
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names, service))
