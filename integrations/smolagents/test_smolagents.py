"""smolagents itself, with tools, models and sandboxes of the platform."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import PIL.Image
import pytest
from smolagents import ActionStep, CodeAgent, LogLevel, ToolCallingAgent
from smolagents.tools import validate_tool_arguments

from agentrun import Sandbox
from agentrun.errors import InvalidInputError
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._session import session
from agentrun.integration._tool import Tool
from agentrun.integration.smolagents import (
    AgentRunConverter,
    identifier,
    inputs_of,
    model,
    sandbox_toolset,
    to_tool,
    tool_resource,
    toolset,
)
from agentrun.server.events import AgentEvent, EventType
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool
from integrations.scenario.weather import CELSIUS, fahrenheit_squared
from integrations.smolagents.agent import answer

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="


@pytest.fixture
def python(names: Names) -> Iterator[Any]:
    with sandbox_toolset(names.sandboxes) as tools:
        yield tools


def agent(names: Names, *tools: Any, asked: str | None = None, **more: Any) -> ToolCallingAgent:
    more.setdefault("max_steps", 6)
    llm = model(asked or names.model)
    return ToolCallingAgent(tools=list(tools), model=llm, verbosity_level=LogLevel.OFF, **more)


def told(agent: Any, question: str) -> list[AgentEvent]:
    converter = AgentRunConverter()
    return [event for step in agent.run(question, stream=True) for event in converter.convert(step)]


def of_kind(events: list[AgentEvent], kind: EventType) -> list[dict[str, Any]]:
    return [event.data for event in events if event.event == kind]


def errors(agent: Any) -> list[str]:
    return [str(step.error.message) for step in agent.memory.steps if isinstance(step, ActionStep) and step.error]


def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names) -> None:
    assert answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names) == fahrenheit_squared("Hangzhou")


def test_an_error_of_a_tool_is_told_to_the_model_and_the_agent_goes_on(names: Names) -> None:
    with toolset(names.weather) as weather:
        asking = agent(names, *weather)
        events = told(asking, "How warm is it in Atlantis?")
    (said,) = of_kind(events, EventType.TEXT)
    assert "I could not find out: " in said["delta"]
    (error,) = errors(asking)
    assert "ToolError: tool 'get_weather': status 404" in error
    (result,) = of_kind(events, EventType.TOOL_RESULT)
    assert result["is_error"] is True
    assert "status 404" in result["result"]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_run_tells_its_events(names: Names, python: Any, streaming: bool) -> None:
    with toolset(names.weather) as weather, tool_resource(names.units) as units:
        asking = agent(names, *weather, *units, *python, stream_outputs=streaming)
        events = told(asking, "How warm is it in Oslo?")
    chunks, calls = of_kind(events, EventType.TOOL_CALL_CHUNK), of_kind(events, EventType.TOOL_CALL)
    assert bool(chunks) is streaming
    assert bool(calls) is not streaming
    by_call: dict[str, str] = {call["id"]: call["args"] for call in calls}
    for chunk in chunks:
        by_call[chunk["id"]] = by_call.get(chunk["id"], "") + chunk["args_delta"]
    named = [each["name"] for each in (*chunks, *calls) if "name" in each]
    assert named == ["get_weather", "to_fahrenheit", "run_code"]
    assert [json.loads(arguments) for arguments in by_call.values()][:2] == [{"city": "Oslo"}, {"celsius": -5.0}]
    assert [result["id"] for result in of_kind(events, EventType.TOOL_RESULT)] == list(by_call)
    assert [data["delta"] for data in of_kind(events, EventType.TEXT)] == [fahrenheit_squared("Oslo")]


def test_the_usage_of_a_run_is_told(names: Names) -> None:
    for streaming in (True, False):
        result = agent(names, return_full_result=True, stream_outputs=streaming).run("Hello")
        assert result.token_usage.output_tokens > 0


def test_ten_agents_at_once_each_have_a_sandbox_of_their_own(names: Names) -> None:
    def one(word: str, python: Any) -> str:
        return str(agent(names, *python).run(f"Note {word} in the sandbox."))

    words = list(CELSIUS)
    with ExitStack() as stack, ThreadPoolExecutor(10) as pool:
        lists = [stack.enter_context(sandbox_toolset(names.sandboxes)) for _ in words]
        assert list(pool.map(one, words, lists)) == [f"The note says {word}." for word in words]
        assert len(sandboxes_alive()) == 10


def test_agents_that_share_tools_are_told_apart_by_their_sessions(names: Names, python: Any) -> None:
    def one(word: str) -> str:
        with session(word):
            return str(agent(names, *python).run(f"Note {word}."))

    words = list(CELSIUS)[:3]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(one, words)) == [f"The note says {word}." for word in words]
    assert len(sandboxes_alive()) == 3


def test_an_agent_keeps_its_sandbox_from_one_question_to_the_next(names: Names, python: Any) -> None:
    writer = agent(names, *python)
    for word in ("one", "two"):
        assert writer.run(f"Note {word}.") == f"The note says {word}."
    assert len(sandboxes_alive()) == 1


def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names, python: Any) -> None:
    writer = agent(names, *python)
    writer.run("Note one.")
    (alive,) = sandboxes_alive()
    Sandbox.delete_by_id(alive)
    assert "I could not find out" in writer.run("Note two.")
    assert "SandboxTerminatedError: " in errors(writer)[0]
    assert sandboxes_alive() == []


def test_the_model_is_sent_names_descriptions_and_schemas_as_they_are(names: Names, python: Any) -> None:
    with recorded_model() as (name, asked):
        agent(names, to_tool(schema_tool()), *python, asked=name).run("Hello")
    sent = {tool["function"]["name"]: tool["function"] for tool in asked[0]["tools"]}
    assert sent["send_alert"]["parameters"] == SCHEMA
    assert sent["send_alert"]["description"] == schema_tool().description
    assert set(sent) == {"send_alert", "final_answer", *(tool.name for tool in python)}
    assert sent["final_answer"]["parameters"]["required"] == ["answer"]


def test_what_smolagents_checks_by_itself_is_what_the_schema_says() -> None:
    tool = to_tool(schema_tool())
    assert tool.inputs["place"]["type"] == "object"
    assert tool.inputs["place"]["properties"]["city"]["pattern"] == "^[A-Z]"
    assert tool.inputs["level"] == {**SCHEMA["properties"]["level"], "nullable": True}
    assert (tool.inputs["count"]["type"], tool.inputs["count"]["nullable"]) == ("integer", True)
    validate_tool_arguments(tool, {"place": {"city": "Oslo"}, "count": None})
    with pytest.raises(ValueError, match="place is required"):
        validate_tool_arguments(tool, {"level": "info"})
    assert tool(place={"city": "Oslo"}, level=None, count=None) == {"sent": {"place": {"city": "Oslo"}, "count": None}}
    assert tool({"city": "Oslo"}, "warning") == {"sent": {"place": {"city": "Oslo"}, "level": "warning"}}


def test_types_that_smolagents_has_no_words_for() -> None:
    parts: dict[str, Any] = {
        "either": {"oneOf": [{"type": "string"}, {"const": 3}]},
        "anything": {},
        "both": {"allOf": [{"type": ["string", "number"]}, {"type": "string"}]},
        "tree": {"$ref": "#/$defs/Tree"},
        "nothing": {"type": "null"},
    }
    tree = {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}
    inputs = inputs_of({"type": "object", "properties": parts, "required": list(parts), "$defs": {"Tree": tree}})
    assert inputs["either"]["type"] == ["integer", "string"]
    assert set(inputs["anything"]["type"]) == {"string", "integer", "number", "boolean", "object", "array"}
    assert inputs["both"]["type"] == "string"
    assert inputs["tree"]["properties"]["left"] == {"type": "object"}
    assert inputs["nothing"]["type"] == "null"


def test_names_are_such_as_code_can_call() -> None:
    assert [identifier(name) for name in ("get-weather", "2nd", "class", "ok_1")] == [
        "get_weather",
        "_2nd",
        "_class",
        "ok_1",
    ]


def test_a_code_agent_works_with_values_and_catches_errors(names: Names) -> None:
    with toolset(names.weather) as weather:
        coder = CodeAgent(tools=[*weather], model=model(names.model), verbosity_level=LogLevel.OFF)
        code = 'warm = get_weather(city="Cairo") | final_answer(warm["celsius"] + 1)'
        assert coder.run(f"Code: {code}") == CELSIUS["Cairo"] + 1


def test_pictures_are_pil_images_and_a_wrong_argument_is_typed() -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        if arguments:
            raise InvalidInputError("there is nothing to say", field="words")
        return ToolOutcome("a dot", images=[Image("image/png", PIXEL)])

    tool = to_tool(Tool("draw", "Draw.", {"type": "object", "properties": {"words": {}}}, perform=draw))
    text, picture = tool()
    assert text == "a dot"
    assert isinstance(picture, PIL.Image.Image)
    with pytest.raises(InvalidInputError, match="nothing to say"):
        tool(words="many")
