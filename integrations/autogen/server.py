"""An agent of AutoGen as an API, with a model of the platform.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.autogen.server
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from autogen_agentchat.agents import AssistantAgent

from agentrun.integration.autogen import model
from agentrun.server import AgentApp
from integrations.scenario.platform import Names, platform
from integrations.scenario.served import look_up

app = AgentApp(app_name="Friday", app_description="Looks words up.")


@app.query(framework="autogen")
async def answer(self: Any, msgs: Any, request: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
    agent = AssistantAgent(
        "Friday", model(Names().model), tools=[look_up], max_tool_iterations=5, model_client_stream=True
    )
    async for event in agent.run_stream(task=msgs):
        yield event


if __name__ == "__main__":
    with platform():
        app.run(port=8090)
