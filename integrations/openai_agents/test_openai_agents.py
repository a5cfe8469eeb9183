"""The OpenAI Agents SDK itself, with tools, models and sandboxes of the platform."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, SQLiteSession
from agents.items import ToolCallOutputItem

from agentrun import Sandbox
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration.openai_agents import (
    AgentRunConverter,
    ClosesSession,
    model,
    sandbox_toolset,
    to_tool,
    tool_resource,
    toolset,
)
from agentrun.server.events import EventType
from integrations.openai_agents.agent import answer
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool, signed_model
from integrations.scenario.weather import CELSIUS, fahrenheit_squared


@pytest.fixture
def python(names: Names) -> Iterator[Any]:
    with sandbox_toolset(names.sandboxes) as tools:
        yield tools


def agent(names: Names, *tools: Any, asked: str | None = None) -> Agent[Any]:
    return Agent("Tester", model=model(asked or names.model), tools=list(tools))


def run(agent: Agent[Any], question: str) -> Any:
    # The SDK's own `run_sync` leaves its event loop open.
    return asyncio.run(Runner.run(agent, question))


def outputs(result: Any) -> list[ToolCallOutputItem]:
    return [item for item in result.new_items if isinstance(item, ToolCallOutputItem)]


def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names) -> None:
    assert answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names) == fahrenheit_squared("Hangzhou")


def test_an_error_of_a_tool_is_told_to_the_model_and_the_agent_goes_on(names: Names) -> None:
    with toolset(names.weather) as weather:
        result = run(agent(names, *weather), "How warm is it in Atlantis?")
    assert "I could not find out: ToolError: status 404" in result.final_output
    assert [item.custom_data for item in outputs(result)] == [{"is_error": True}]


@pytest.mark.asyncio
async def test_a_run_streams_and_tells_its_events_and_its_usage(names: Names, python: Any) -> None:
    converter = AgentRunConverter()
    with toolset(names.weather) as weather, tool_resource(names.units) as units:
        streamed = Runner.run_streamed(agent(names, *weather, *units, *python), "How warm is it in Oslo?")
        events = [told async for event in streamed.stream_events() for told in converter.convert(event)]
    chunks = [event.data for event in events if event.event == EventType.TOOL_CALL_CHUNK]
    assert [chunk["name"] for chunk in chunks if "name" in chunk] == ["get_weather", "to_fahrenheit", "run_code"]
    by_call: dict[str, str] = {}
    for chunk in chunks:
        by_call[chunk["id"]] = by_call.get(chunk["id"], "") + chunk["args_delta"]
    assert [json.loads(arguments) for arguments in by_call.values()][:2] == [{"city": "Oslo"}, {"celsius": -5.0}]
    results = [event.data for event in events if event.event == EventType.TOOL_RESULT]
    assert [result["id"] for result in results] == list(by_call)
    words = [event.data["delta"] for event in events if event.event == EventType.TEXT]
    assert len(words) > 1
    assert "".join(words) == streamed.final_output == fahrenheit_squared("Oslo")
    assert not [event for event in events if event.event == EventType.TOOL_CALL]
    assert streamed.context_wrapper.usage.total_tokens > 0


def test_a_whole_run_becomes_the_same_events(names: Names) -> None:
    with toolset(names.weather) as weather:
        result = run(agent(names, *weather), "How warm is it in Atlantis?")
    converter = AgentRunConverter()
    events = [told for item in result.new_items for told in converter.convert(item)]
    assert [event.event for event in events] == [EventType.TOOL_CALL, EventType.TOOL_RESULT, EventType.TEXT]
    assert json.loads(events[0].data["args"]) == {"city": "Atlantis"}
    assert events[1].data["is_error"]
    assert [event.event for event in converter.convert(result.new_items[0])] == []
    converter.reset()
    assert [event.event for event in converter.convert(result.new_items[0])] == [EventType.TOOL_CALL]


@pytest.mark.asyncio
async def test_ten_agents_at_once_each_have_a_sandbox_of_their_own(names: Names, python: Any) -> None:
    async def one(word: str) -> str:
        settings = RunConfig(group_id=f"chat-{word}")
        result = await Runner.run(agent(names, *python), f"Note {word} in the sandbox.", run_config=settings)
        return str(result.final_output)

    words = list(CELSIUS)
    assert await asyncio.gather(*map(one, words)) == [f"The note says {word}." for word in words]
    assert len(sandboxes_alive()) == 10


@pytest.mark.asyncio
async def test_the_memory_of_the_sdk_given_as_the_context_is_the_session(names: Names, python: Any) -> None:
    memory = SQLiteSession("ada")
    for word in ("one", "two"):
        result = await Runner.run(agent(names, *python), f"Note {word}.", context=memory, session=memory)
        assert result.final_output == f"The note says {word}."
    assert len(sandboxes_alive()) == 1
    await Runner.run(agent(names, *python), "Note three.", context={"session_id": "bob"})
    assert len(sandboxes_alive()) == 2


@pytest.mark.asyncio
async def test_a_hook_deletes_the_sandbox_of_a_session_whose_agent_is_done(names: Names, python: Any) -> None:
    for word in ("one", "two"):
        hooks, settings = ClosesSession(python), RunConfig(group_id=word)
        result = await Runner.run(agent(names, *python), f"Note {word}.", hooks=hooks, run_config=settings)
        assert result.final_output == f"The note says {word}."
        assert sandboxes_alive() == []


def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names, python: Any) -> None:
    run(agent(names, *python), "Note one.")
    (alive,) = sandboxes_alive()
    Sandbox.delete_by_id(alive)
    result = run(agent(names, *python), "Note two.")
    first = outputs(result)[0]
    assert first.custom_data == {"is_error": True}
    assert str(first.output).startswith("SandboxTerminatedError: ")
    assert sandboxes_alive() == []


def test_the_model_is_sent_names_descriptions_and_schemas_as_they_are(names: Names, python: Any) -> None:
    with recorded_model() as (name, asked):
        run(agent(names, to_tool(schema_tool()), *python, asked=name), "Hello")
    sent = {tool["function"]["name"]: tool["function"] for tool in asked[0]["tools"]}
    assert sent["send_alert"]["parameters"] == SCHEMA
    assert sent["send_alert"]["description"] == schema_tool().description
    assert not sent["send_alert"].get("strict")
    assert set(sent) == {"send_alert", *(tool.name for tool in python)}


@pytest.mark.asyncio
async def test_a_model_without_a_key_is_asked_with_signed_requests(names: Names, python: Any) -> None:
    with signed_model(names.model) as name:
        asking = agent(names, *python, asked=name)
        assert (await Runner.run(asking, "Note one.")).final_output == "The note says one."


@pytest.mark.asyncio
async def test_a_picture_is_the_sdks_own_and_arguments_that_are_no_json_are_an_error() -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        return ToolOutcome("a dot", images=[Image("image/png", "aGk=")])

    tool = to_tool(Tool("draw", "Draw.", perform=draw))
    context: Any = type("Context", (), {"context": None})()
    text, picture = await tool.on_invoke_tool(context, "{}")
    assert (text.text, picture.image_url) == ("a dot", "data:image/png;base64,aGk=")
    assert "the arguments are not JSON" in await tool.on_invoke_tool(context, '{"a"')
