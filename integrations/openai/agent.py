"""An agent of nothing but a loop, by the `openai` package, with an API, an MCP server and a sandbox of the platform.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.openai.agent
"""

from __future__ import annotations

from typing import Any

from agentrun.integration.openai import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


def answer(question: str, names: Names) -> str:
    llm = model(names.model)
    messages: list[Any] = [{"role": "user", "content": question}]
    with toolset(names.weather).joined(tool_resource(names.units), sandbox_toolset(names.sandboxes)) as tools:
        while True:
            reply = llm.client.chat.completions.create(model=llm.name, messages=messages, tools=tools)
            message = reply.choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages += [message, *tools.run_calls(message)]


if __name__ == "__main__":
    with platform() as names:
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names))
