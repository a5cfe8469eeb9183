"""An agent of LangChain with an API, an MCP server and a sandbox of the platform, and its model.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.langchain.agent
"""

from __future__ import annotations

from langchain.agents import create_agent

from agentrun.integration.langchain import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


def answer(question: str, names: Names) -> str:
    with (
        toolset(names.weather) as weather,
        tool_resource(names.units) as units,
        sandbox_toolset(names.sandboxes) as python,
    ):
        agent = create_agent(model(names.model), [*weather, *units, *python])
        state = agent.invoke({"messages": [("user", question)]})
        return state["messages"][-1].text


if __name__ == "__main__":
    with platform() as names:
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names))
