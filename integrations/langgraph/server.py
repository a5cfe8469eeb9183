"""An agent of LangGraph as an API, with a model of the platform.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.langgraph.server
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.tools import tool

from agentrun.integration.langgraph import model
from agentrun.server import AgentApp
from integrations.langgraph.agent import graph
from integrations.scenario.platform import Names, platform
from integrations.scenario.served import look_up

app = AgentApp(app_name="Friday", app_description="Looks words up.")


@app.query(framework="langgraph")
async def answer(self: Any, msgs: Any, request: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
    tools = [tool(look_up)]
    agent = graph(model(Names().model).bind_tools(tools), tools)
    config = {"configurable": {"thread_id": "one"}}
    async for event in agent.astream({"messages": msgs}, config=config, stream_mode="messages"):
        yield event


if __name__ == "__main__":
    with platform():
        app.run(port=8090)
