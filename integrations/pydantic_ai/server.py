"""An agent of PydanticAI as an API, with a model of the platform.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.pydantic_ai.server
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai import Agent

from agentrun.integration.pydantic_ai import model
from agentrun.server import AgentApp
from integrations.scenario.platform import Names, platform
from integrations.scenario.served import look_up

app = AgentApp(app_name="Friday", app_description="Looks words up.")


@app.query(framework="pydantic-ai")
async def answer(self: Any, msgs: Any, request: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
    agent = Agent(model(Names().model), tools=[look_up], instructions="Be brief.")
    async with agent.run_stream_events(message_history=msgs) as events:
        async for event in events:
            yield event


if __name__ == "__main__":
    with platform():
        app.run(port=8090)
