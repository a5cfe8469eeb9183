"""An agent of Google's ADK with an API, an MCP server and a sandbox of the platform, and its model.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.google_adk.agent
"""

from __future__ import annotations

import asyncio

from google.adk.agents import LlmAgent
from google.adk.runners import InMemoryRunner

from agentrun.integration.google_adk import AgentRunToolset, model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


async def answer(question: str, names: Names) -> str:
    tools = [
        AgentRunToolset(lambda: toolset(names.weather)),
        AgentRunToolset(lambda: tool_resource(names.units)),
        AgentRunToolset(lambda: sandbox_toolset(names.sandboxes)),
    ]
    agent = LlmAgent(name="meteorologist", model=await asyncio.to_thread(model, names.model), tools=tools)
    async with InMemoryRunner(agent) as runner:  # Closes the toolsets.
        events = await runner.run_debug(question, quiet=True)
    return "".join(part.text or "" for part in events[-1].content.parts)


if __name__ == "__main__":
    with platform() as names:
        print(asyncio.run(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names)))
