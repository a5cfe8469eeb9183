"""An agent of LangChain as an API, with a model of the platform.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.langchain.server
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain.agents import create_agent

from agentrun.integration.langchain import model
from agentrun.server import AgentApp
from integrations.scenario.platform import Names, platform
from integrations.scenario.served import look_up

app = AgentApp(app_name="Friday", app_description="Looks words up.")


@app.query(framework="langchain")
async def answer(self: Any, msgs: Any, request: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
    agent = create_agent(model(Names().model), [look_up], system_prompt="Be brief.")
    async for event in agent.astream({"messages": msgs}, stream_mode="messages"):
        yield event


if __name__ == "__main__":
    with platform():
        app.run(port=8090)
