"""An agent of AgentScope 2 as an API, with a model of the platform.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.agentscope2.server
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agentscope.agent import Agent, InjectionConfig
from agentscope.permission import PermissionContext, PermissionMode
from agentscope.state import AgentState
from agentscope.tool import FunctionTool, Toolkit

from agentrun.integration.agentscope import model
from agentrun.server import AgentApp
from integrations.scenario.platform import Names, platform
from integrations.scenario.served import look_up

app = AgentApp(app_name="Friday", app_description="Looks words up.")


@app.query(framework="agentscope")
async def answer(self: Any, msgs: Any, request: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
    agent = Agent(
        name="Friday",
        system_prompt="Be brief.",
        model=model(Names().model),
        toolkit=Toolkit(tools=[FunctionTool(look_up)]),
        # What was said before, calls and thoughts too, belongs to the state. Nobody is asked before a tool is called,
        # and the question stays the last of what the model is told.
        state=AgentState(context=msgs[:-1], permission_context=PermissionContext(mode=PermissionMode.BYPASS)),
        injection_config=InjectionConfig(inject_runtime_state=False),
    )
    async for event in agent.reply_stream(msgs[-1]):
        yield event


if __name__ == "__main__":
    with platform():
        app.run(port=8090)
