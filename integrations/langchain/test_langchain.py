"""LangChain's agents with the platform's tools, sandboxes and models."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from agentrun import Sandbox
from agentrun.integration.langchain import AgentRunConverter, model, sandbox_toolset, to_tool, tool_resource, toolset
from agentrun.server import AgentEvent, EventType
from integrations.langchain import agent as example
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool
from integrations.scenario.weather import CELSIUS, fahrenheit_squared


def asked(text: str) -> dict[str, Any]:
    return {"messages": [("user", text)]}


def test_the_example_calls_three_tools(names: Names) -> None:
    assert example.answer("How warm is it in Hangzhou?", names) == fahrenheit_squared("Hangzhou")


def test_an_agent_streams_and_its_events_are_told(names: Names) -> None:
    async def told() -> list[AgentEvent]:
        converter = AgentRunConverter()
        async with (
            toolset(names.weather) as weather,
            tool_resource(names.units) as units,
            sandbox_toolset(names.sandboxes) as python,
        ):
            agent: Any = create_agent(model(names.model), [*weather, *units, *python])
            stream = agent.astream_events(asked("How warm is it in Oslo?"), version="v2")
            return [event async for raw in stream for event in converter.convert(raw)]

    events = asyncio.run(told())
    text = "".join(event.data["delta"] for event in events if event.event == EventType.TEXT)
    assert text == fahrenheit_squared("Oslo")
    assert sum(event.event == EventType.TEXT for event in events) > 1
    called = [event.data.get("name") for event in events if event.data.get("name")]
    assert called == ["get_weather", "to_fahrenheit", "run_code"]
    results = [event for event in events if event.event == EventType.TOOL_RESULT]
    ids = {event.data["id"] for event in events if event.event == EventType.TOOL_CALL_CHUNK}
    assert len(results) == 3
    assert {event.data["id"] for event in results} == ids


def test_an_error_of_a_tool_is_told_to_the_model(names: Names) -> None:
    with toolset(names.weather) as weather:
        agent: Any = create_agent(model(names.model), list(weather))
        messages = agent.invoke(asked("How warm is it in Atlantis?"))["messages"]
    assert messages[-2].status == "error"
    assert "there is no city Atlantis" in messages[-1].text


def test_ten_agents_at_once_have_a_sandbox_each(names: Names) -> None:
    async def noted() -> list[str]:
        async with sandbox_toolset(names.sandboxes) as python:
            agent: Any = create_agent(model(names.model), list(python))
            runs = [
                agent.ainvoke(asked(f"Note number{i}"), config={"configurable": {"thread_id": f"thread-{i}"}})
                for i in range(10)
            ]
            states = await asyncio.gather(*runs)
            assert len(sandboxes_alive()) == 10
            return [state["messages"][-1].text for state in states]

    assert asyncio.run(noted()) == [f"The note says number{i}." for i in range(10)]


def test_ten_agents_at_once_ask_an_api_and_an_mcp_server(names: Names) -> None:
    async def answered() -> list[str]:
        async with (
            toolset(names.weather) as weather,
            tool_resource(names.units) as units,
            sandbox_toolset(names.sandboxes) as python,
        ):
            agent: Any = create_agent(model(names.model), [*weather, *units, *python])
            runs = [agent.ainvoke(asked(f"How warm is it in {city}?")) for city in CELSIUS]
            return [state["messages"][-1].text for state in await asyncio.gather(*runs)]

    assert asyncio.run(answered()) == [fahrenheit_squared(city) for city in CELSIUS]


def test_the_model_is_told_the_whole_schema() -> None:
    with recorded_model() as (name, requests):
        agent: Any = create_agent(model(name), [to_tool(schema_tool())])
        agent.invoke(asked("Hello"))
    told = requests[0]["tools"][0]["function"]["parameters"]
    properties = {**SCHEMA["properties"], "place": SCHEMA["$defs"]["Place"]}  # LangChain puts in what is referred to.
    assert told == {**{key: value for key, value in SCHEMA.items() if key != "$defs"}, "properties": properties}


def test_a_sandbox_that_ended_is_an_error_of_the_tool(names: Names) -> None:
    with sandbox_toolset(names.sandboxes) as tools:
        run_code = next(tool for tool in tools if tool.name == "run_code")
        run_code.invoke({"code": "1"})
        Sandbox.delete_by_id(sandboxes_alive()[0])
        message = run_code.invoke({"type": "tool_call", "id": "1", "name": "run_code", "args": {"code": "1"}})
    assert message.status == "error"
    assert "SandboxTerminatedError" in message.content


def test_a_missing_package_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core.tools", None)
    monkeypatch.delitem(sys.modules, "agentrun.integration.langchain")
    with pytest.raises(ImportError, match=r"needs langchain_core: pip install 'agentrun\[langchain\]'$"):
        importlib.import_module("agentrun.integration.langchain")


class TestToolUnit(ToolsUnitTests):
    """LangChain's standard tests for tools."""

    @property
    def tool_constructor(self) -> BaseTool:
        return to_tool(schema_tool())

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"place": {"city": "Oslo", "kind": "town"}}


class TestToolIntegration(ToolsIntegrationTests):
    """The same, with calls."""

    tool_constructor = TestToolUnit.tool_constructor
    tool_invoke_params_example = TestToolUnit.tool_invoke_params_example
