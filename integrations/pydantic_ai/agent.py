"""An agent of PydanticAI with an API, an MCP server and a sandbox of the platform, and its model.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.pydantic_ai.agent
"""

from __future__ import annotations

import asyncio

from pydantic_ai import Agent

from agentrun.integration.pydantic_ai import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


def answer(question: str, names: Names) -> str:
    weather, units, python = toolset(names.weather), tool_resource(names.units), sandbox_toolset(names.sandboxes)
    with weather, units, python:
        agent = Agent(model(names.model), tools=[*weather, *units, *python])
        return asyncio.run(agent.run(question)).output


if __name__ == "__main__":
    with platform() as names:
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names))
