"""An agent of the OpenAI Agents SDK with an API, an MCP server and a sandbox of the platform, and its model.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.openai_agents.agent
"""

from __future__ import annotations

import asyncio

from agents import Agent, Runner, set_tracing_disabled

from agentrun.integration.openai_agents import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


def answer(question: str, names: Names) -> str:
    with (
        toolset(names.weather) as weather,
        tool_resource(names.units) as units,
        sandbox_toolset(names.sandboxes) as python,
    ):
        agent = Agent("Weather", model=model(names.model), tools=[*weather, *units, *python])
        return str(asyncio.run(Runner.run(agent, question)).final_output)


if __name__ == "__main__":
    set_tracing_disabled(True)  # Otherwise the SDK sends what its agents do to OpenAI.
    with platform() as names:
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names))
