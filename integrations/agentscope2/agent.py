"""An agent of AgentScope 2 with an API, an MCP server and a sandbox of the platform, and its model.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.agentscope2.agent
"""

from __future__ import annotations

import asyncio

from agentscope.agent import Agent, InjectionConfig
from agentscope.message import UserMsg
from agentscope.permission import PermissionContext, PermissionMode
from agentscope.state import AgentState
from agentscope.tool import Toolkit

from agentrun.integration.agentscope import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


def answer(question: str, names: Names) -> str:
    weather, units, python = toolset(names.weather), tool_resource(names.units), sandbox_toolset(names.sandboxes)
    with weather, units, python:
        agent = Agent(
            name="Friday",
            system_prompt="You are a helpful assistant.",
            model=model(names.model),
            toolkit=Toolkit(tools=[*weather, *units, *python]),
            # Nobody is asked before a tool is called, and the question stays the last of what the model is told.
            state=AgentState(permission_context=PermissionContext(mode=PermissionMode.BYPASS)),
            injection_config=InjectionConfig(inject_runtime_state=False),
        )
        return asyncio.run(agent.reply(UserMsg("user", question))).get_text_content() or ""


if __name__ == "__main__":
    with platform() as names:
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names))
