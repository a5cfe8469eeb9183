"""An agent of AgentScope 1.0 with an API, an MCP server and a sandbox of the platform, and its model.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.agentscope1.agent
"""

from __future__ import annotations

import asyncio

from agentscope.agent import ReActAgent
from agentscope.formatter import OpenAIChatFormatter
from agentscope.memory import InMemoryMemory
from agentscope.message import Msg
from agentscope.tool import Toolkit

from agentrun.integration.agentscope import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


def answer(question: str, names: Names) -> str:
    weather, units, python = toolset(names.weather), tool_resource(names.units), sandbox_toolset(names.sandboxes)
    with weather, units, python:
        toolkit = Toolkit()
        for tool in [*weather, *units, *python]:
            toolkit.register_tool_function(tool)
        agent = ReActAgent(
            name="Friday",
            sys_prompt="You are a helpful assistant.",
            model=model(names.model),
            formatter=OpenAIChatFormatter(),
            toolkit=toolkit,
            memory=InMemoryMemory(),
        )
        return asyncio.run(agent(Msg("user", question, "user"))).get_text_content()


if __name__ == "__main__":
    with platform() as names:
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names))
