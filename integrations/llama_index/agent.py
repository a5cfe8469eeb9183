"""An agent of LlamaIndex with an API, an MCP server and a sandbox of the platform, and its model.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.llama_index.agent
"""

from __future__ import annotations

import asyncio

from llama_index.core.agent.workflow import FunctionAgent

from agentrun.integration.llama_index import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


async def asked(agent: FunctionAgent, question: str) -> str:
    return str(await agent.run(question))


def answer(question: str, names: Names) -> str:
    weather, units, python = toolset(names.weather), tool_resource(names.units), sandbox_toolset(names.sandboxes)
    with weather, units, python:
        agent = FunctionAgent(llm=model(names.model), tools=[*weather, *units, *python])
        return asyncio.run(asked(agent, question))


if __name__ == "__main__":
    with platform() as names:
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names))
