"""A crew of CrewAI with an API, an MCP server and a sandbox of the platform, and its model.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.crewai.agent
"""

from __future__ import annotations

from crewai import Agent, Crew, Task

from agentrun.integration.crewai import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


def answer(question: str, names: Names) -> str:
    weather, units, python = toolset(names.weather), tool_resource(names.units), sandbox_toolset(names.sandboxes)
    with weather, units, python:
        agent = Agent(
            role="Meteorologist",
            goal="Tell how warm it is",
            backstory="Always precise.",
            llm=model(names.model),
            tools=[*weather, *units, *python],
        )
        task = Task(description=question, expected_output="A number.", agent=agent)
        return str(Crew(agents=[agent], tasks=[task]).kickoff())


if __name__ == "__main__":
    with platform() as names:
        print(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names))
