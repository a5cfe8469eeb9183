"""An agent of the OpenAI Agents SDK as an API, with a model of the platform.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.openai_agents.server
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Runner, function_tool

from agentrun.integration.openai_agents import model
from agentrun.server import AgentApp
from integrations.scenario.platform import Names, platform
from integrations.scenario.served import look_up

app = AgentApp(app_name="Friday", app_description="Looks words up.")


@app.query(framework="openai-agents")
async def answer(self: Any, msgs: Any, request: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
    agent = Agent("Friday", "Be brief.", model=model(Names().model), tools=[function_tool(look_up)])
    async for event in Runner.run_streamed(agent, msgs).stream_events():
        yield event


if __name__ == "__main__":
    with platform():
        app.run(port=8090)
