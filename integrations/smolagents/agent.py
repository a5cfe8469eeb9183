"""An agent of smolagents with an API, an MCP server and a sandbox of the platform, and its model.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.smolagents.agent
"""

from __future__ import annotations

from smolagents import ToolCallingAgent

from agentrun.integration.smolagents import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


def answer(question: str, names: Names) -> str:
    weather, units, python = toolset(names.weather), tool_resource(names.units), sandbox_toolset(names.sandboxes)
    with weather, units, python:
        agent = ToolCallingAgent(tools=[*weather, *units, *python], model=model(names.model), max_steps=6)
        return str(agent.run(question))


if __name__ == "__main__":
    with platform() as names:
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names))
