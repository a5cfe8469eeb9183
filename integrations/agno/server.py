"""An agent of Agno as an API, with a model of the platform.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.agno.server
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from openai import AsyncOpenAI

from agentrun.server import AgentApp
from integrations.scenario.served import look_up

app = AgentApp(app_name="Friday", app_description="Looks words up.")


@app.query(framework="agno")
async def answer(self: Any, msgs: Any, request: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
    # The client closes its connections at the end, which Agno's own keeps open.
    async with AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"]) as client:
        model = OpenAILike(id=os.environ.get("OPENAI_MODEL", "scripted"), async_client=client)
        agent = Agent(model=model, tools=[look_up], telemetry=False)
        async for event in agent.arun(msgs, stream=True, stream_events=True):
            yield event


if __name__ == "__main__":
    app.run(port=8090)
