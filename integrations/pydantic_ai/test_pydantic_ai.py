"""PydanticAI itself, with tools, models and sandboxes of the platform."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from pydantic_ai import Agent, BinaryContent, DeferredToolRequests
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel

from agentrun import Sandbox
from agentrun._core.progress import report_progress
from agentrun.errors import InvalidInputError
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration.pydantic_ai import (
    AgentRunConverter,
    AgentRunToolset,
    model,
    sandbox_toolset,
    to_tool,
    tool_resource,
    toolset,
)
from agentrun.server.events import EventType
from integrations.pydantic_ai.agent import answer
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool, signed_model
from integrations.scenario.weather import CELSIUS, fahrenheit_squared


@pytest.fixture
def python(names: Names) -> Iterator[Any]:
    with sandbox_toolset(names.sandboxes) as tools:
        yield tools


def agent(names: Names, *tools: Any, asked: str | None = None, **more: Any) -> Agent[None, str]:
    return Agent(model(asked or names.model), tools=list(tools), **more)


def returns(result: Any) -> list[ToolReturnPart]:
    parts = [part for message in result.all_messages() for part in message.parts]
    return [part for part in parts if isinstance(part, ToolReturnPart)]


def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names) -> None:
    assert answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names) == fahrenheit_squared("Hangzhou")


def test_an_error_of_a_tool_is_told_to_the_model_and_the_agent_goes_on(names: Names) -> None:
    with toolset(names.weather) as weather:
        result = asyncio.run(agent(names, *weather).run("How warm is it in Atlantis?"))
    assert "I could not find out: " in result.output
    assert "ToolError: status 404" in result.output
    assert [part.outcome for part in returns(result)] == ["failed"]


@pytest.mark.asyncio
async def test_a_run_streams_and_tells_its_events_and_its_usage(names: Names, python: Any) -> None:
    converter, events, result = AgentRunConverter(), [], None
    with toolset(names.weather) as weather, tool_resource(names.units) as units:
        runner = agent(names, *weather, *units, *python)
        async with runner.run_stream_events("How warm is it in Oslo?") as stream:
            async for event in stream:
                events += list(converter.convert(event))
                result = getattr(event, "result", result)
    chunks = [event.data for event in events if event.event == EventType.TOOL_CALL_CHUNK]
    assert [chunk["name"] for chunk in chunks if "name" in chunk] == ["get_weather", "to_fahrenheit", "run_code"]
    by_call: dict[str, str] = {}
    for chunk in chunks:
        by_call[chunk["id"]] = by_call.get(chunk["id"], "") + chunk["args_delta"]
    assert [json.loads(arguments) for arguments in by_call.values()][:2] == [{"city": "Oslo"}, {"celsius": -5.0}]
    results = [event.data for event in events if event.event == EventType.TOOL_RESULT]
    assert [each["id"] for each in results] == list(by_call)
    words = [event.data["delta"] for event in events if event.event == EventType.TEXT]
    assert len(words) > 1
    assert result is not None
    assert "".join(words) == result.output == fahrenheit_squared("Oslo")
    assert not [event for event in events if event.event == EventType.TOOL_CALL]
    assert result.usage.total_tokens > 0


@pytest.mark.asyncio
async def test_ten_agents_at_once_each_have_a_sandbox_of_their_own(names: Names, python: Any) -> None:
    async def one(word: str) -> str:
        return (await agent(names, *python).run(f"Note {word} in the sandbox.")).output

    words = list(CELSIUS)
    assert await asyncio.gather(*map(one, words)) == [f"The note says {word}." for word in words]
    assert len(sandboxes_alive()) == 10


@pytest.mark.asyncio
async def test_a_conversation_has_one_sandbox(names: Names, python: Any) -> None:
    writer = agent(names, *python)
    first = await writer.run("Note one.")
    second = await writer.run("Note two.", message_history=first.all_messages())
    assert second.output == "The note says two."
    assert len(sandboxes_alive()) == 1
    await writer.run("Note three.", conversation_id="another")
    assert len(sandboxes_alive()) == 2


@pytest.mark.asyncio
async def test_a_toolset_makes_its_tools_late_and_closes_them_with_the_agent(names: Names) -> None:
    made = []

    def make() -> Any:
        made.append(sandbox_toolset(names.sandboxes))
        return made[-1]

    writer: Agent[None, str] = Agent(model(names.model), toolsets=[AgentRunToolset(make)])
    assert made == []
    async with writer:
        for word in ("one", "two"):
            assert (await writer.run(f"Note {word}.", conversation_id="chat")).output == f"The note says {word}."
        assert len(sandboxes_alive()) == 1
    assert sandboxes_alive() == []
    assert (await writer.run("Note three.")).output == "The note says three."
    assert sandboxes_alive() == []
    assert len(made) == 1


def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names, python: Any) -> None:
    asyncio.run(agent(names, *python).run("Note one.", conversation_id="chat"))
    (alive,) = sandboxes_alive()
    Sandbox.delete_by_id(alive)
    result = asyncio.run(agent(names, *python).run("Note two.", conversation_id="chat"))
    first = returns(result)[0]
    assert first.outcome == "failed"
    assert "SandboxTerminatedError: " in str(first.content)
    assert sandboxes_alive() == []


def test_the_model_is_sent_names_descriptions_and_schemas_as_they_are(names: Names, python: Any) -> None:
    with recorded_model() as (name, asked):
        asyncio.run(agent(names, to_tool(schema_tool()), *python, asked=name).run("Hello"))
    sent = {tool["function"]["name"]: tool["function"] for tool in asked[0]["tools"]}
    assert sent["send_alert"]["parameters"] == SCHEMA
    assert sent["send_alert"]["description"] == schema_tool().description
    assert "strict" not in sent["send_alert"]
    assert set(sent) == {"send_alert", *(tool.name for tool in python)}


@pytest.mark.asyncio
async def test_a_model_without_a_key_is_asked_with_signed_requests(names: Names, python: Any) -> None:
    with signed_model(names.model) as name:
        assert (await agent(names, *python, asked=name).run("Note one.")).output == "The note says one."


@pytest.mark.asyncio
async def test_wrong_arguments_are_asked_for_again_and_then_told_as_a_failure() -> None:
    async def refuse(arguments: dict[str, Any]) -> Any:
        raise InvalidInputError("there is no city", field="city")

    def stubborn(messages: Any, info: Any) -> ModelResponse:
        answered = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
        if len(answered) < 2:
            return ModelResponse(parts=[ToolCallPart("refuse", {"city": 1})])
        return ModelResponse(parts=[TextPart("I give up.")])

    result = await Agent(FunctionModel(stubborn), tools=[to_tool(Tool("refuse", "No.", perform=refuse))]).run("Go")
    assert result.output == "I give up."
    assert [part.outcome for part in returns(result)] == ["retried", "failed"]


@pytest.mark.asyncio
async def test_progress_is_in_the_stream_and_a_picture_is_the_frameworks_own() -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        report_progress(1, 2, "half")
        await asyncio.to_thread(partial(report_progress, 2, 2, "done"))
        return ToolOutcome("a dot", images=[Image("image/png", "aGk=")])

    drawer = Agent(TestModel(), tools=[to_tool(Tool("draw", "Draw.", perform=draw))])
    converter, told, result = AgentRunConverter(), [], None
    async with drawer.run_stream_events("Draw") as stream:
        async for event in stream:
            told += [each.data for each in converter.convert(event) if each.event == EventType.CUSTOM]
            result = getattr(event, "result", result)
    assert [(each["name"], each["value"]["message"]) for each in told] == [
        ("agentrun_tool_progress", "half"),
        ("agentrun_tool_progress", "done"),
    ]
    (part,) = returns(result)
    assert part.content == ["a dot", BinaryContent(b"hi", media_type="image/png")]
    assert part.metadata == "a dot"


@pytest.mark.asyncio
async def test_what_needs_approval_is_a_question() -> None:
    async def act(arguments: dict[str, Any]) -> Any:
        raise AssertionError("it was not approved")

    tool = to_tool(Tool("act", "Act.", perform=act))
    tool.requires_approval = True
    asking: Agent[None, Any] = Agent(TestModel(), tools=[tool], output_type=[str, DeferredToolRequests])
    converter, events = AgentRunConverter(), []
    async with asking.run_stream_events("Go") as stream:
        async for event in stream:
            events += list(converter.convert(event))
    (question,) = [event.data for event in events if event.event == EventType.HITL]
    assert (question["type"], question["name"], json.loads(question["args"])) == ("tool_approval", "act", {})
