"""An agent of AutoGen with an API, an MCP server and a sandbox of the platform, and its model.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.autogen.agent
"""

from __future__ import annotations

import asyncio

from autogen_agentchat.agents import AssistantAgent

from agentrun.integration.autogen import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


def answer(question: str, names: Names) -> str:
    weather, units, python = toolset(names.weather), tool_resource(names.units), sandbox_toolset(names.sandboxes)
    with weather, units, python:
        tools = [*weather, *units, *python]
        agent = AssistantAgent("meteorologist", model(names.model), tools=tools, max_tool_iterations=10)
        return asyncio.run(agent.run(task=question)).messages[-1].to_text()


if __name__ == "__main__":
    with platform() as names:
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names))
