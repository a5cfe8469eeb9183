"""AgentScope 1.0 itself, with tools, models and sandboxes of the platform."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agentscope.agent import ReActAgent
from agentscope.formatter import OpenAIChatFormatter
from agentscope.memory import InMemoryMemory
from agentscope.message import Msg
from agentscope.pipeline import stream_printing_messages
from agentscope.tool import Toolkit

from agentrun import Sandbox
from agentrun._core.progress import report_progress
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._session import session
from agentrun.integration._tool import Tool
from agentrun.integration.agentscope import AgentRunConverter, model, sandbox_toolset, to_tool, tool_resource, toolset
from agentrun.server.events import AgentEvent, EventType
from integrations.agentscope1.agent import answer
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool
from integrations.scenario.weather import CELSIUS, fahrenheit_squared


@pytest.fixture
def python(names: Names) -> Iterator[Any]:
    with sandbox_toolset(names.sandboxes) as tools:
        yield tools


def toolkit_of(*tools: Any) -> Toolkit:
    toolkit = Toolkit()
    for tool in tools:
        toolkit.register_tool_function(tool)
    return toolkit


def agent(names: Names, *tools: Any, asked: str | None = None, streaming: bool = True) -> ReActAgent:
    llm = model(asked or names.model)
    llm.stream = streaming
    made = ReActAgent(
        "Tester", "You test.", llm, OpenAIChatFormatter(), toolkit=toolkit_of(*tools), memory=InMemoryMemory()
    )
    made.set_console_output_enabled(False)
    return made


async def ask(agent: ReActAgent, question: str) -> str:
    return str((await agent(Msg("user", question, "user"))).get_text_content())


async def told(agent: ReActAgent, question: str) -> list[AgentEvent]:
    converter = AgentRunConverter()
    messages = stream_printing_messages([agent], agent(Msg("user", question, "user")))
    return [event async for message in messages for event in converter.convert(message)]


def of_kind(events: list[AgentEvent], kind: EventType) -> list[dict[str, Any]]:
    return [event.data for event in events if event.event == kind]


async def results(agent: ReActAgent) -> list[Any]:
    blocks = [block for message in await agent.memory.get_memory() for block in message.get_content_blocks()]
    return [block for block in blocks if block["type"] == "tool_result"]


def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names) -> None:
    assert answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names) == fahrenheit_squared("Hangzhou")


@pytest.mark.asyncio
async def test_an_error_of_a_tool_is_told_to_the_model_and_the_agent_goes_on(names: Names) -> None:
    with toolset(names.weather) as weather:
        events = await told(agent(names, *weather), "How warm is it in Atlantis?")
    assert "I could not find out: ToolError: status 404" in "".join(
        data["delta"] for data in of_kind(events, EventType.TEXT)
    )
    (failed,) = of_kind(events, EventType.TOOL_RESULT)
    assert failed["is_error"] is True


@pytest.mark.asyncio
async def test_a_run_streams_and_tells_its_events(names: Names, python: Any) -> None:
    with toolset(names.weather) as weather, tool_resource(names.units) as units:
        events = await told(agent(names, *weather, *units, *python), "How warm is it in Oslo?")
    chunks = of_kind(events, EventType.TOOL_CALL_CHUNK)
    assert [chunk["name"] for chunk in chunks if "name" in chunk] == ["get_weather", "to_fahrenheit", "run_code"]
    by_call: dict[str, str] = {}
    for chunk in chunks:
        by_call[chunk["id"]] = by_call.get(chunk["id"], "") + chunk["args_delta"]
    assert [json.loads(arguments) for arguments in by_call.values()][:2] == [{"city": "Oslo"}, {"celsius": -5.0}]
    assert [result["id"] for result in of_kind(events, EventType.TOOL_RESULT)] == list(by_call)
    words = [data["delta"] for data in of_kind(events, EventType.TEXT)]
    assert len(words) > 1
    assert "".join(words) == fahrenheit_squared("Oslo")
    assert of_kind(events, EventType.TOOL_CALL) == []


@pytest.mark.asyncio
async def test_a_model_that_does_not_stream_becomes_the_same_events(names: Names) -> None:
    with toolset(names.weather) as weather:
        events = await told(agent(names, *weather, streaming=False), "How warm is it in Atlantis?")
    assert [event.event for event in events] == [EventType.TOOL_CALL, EventType.TOOL_RESULT, EventType.TEXT]
    assert json.loads(events[0].data["args"]) == {"city": "Atlantis"}


@pytest.mark.asyncio
async def test_the_usage_of_an_answer_is_told(names: Names) -> None:
    usage = None
    async for response in await model(names.model)([{"role": "user", "content": "Hello"}]):
        usage = response.usage or usage
    assert usage is not None
    assert usage.output_tokens > 0


@pytest.mark.asyncio
async def test_ten_agents_at_once_each_have_a_sandbox_of_their_own(names: Names) -> None:
    async with AsyncExitStack() as stack:

        async def one(word: str) -> str:
            python = await stack.enter_async_context(sandbox_toolset(names.sandboxes))
            return await ask(agent(names, *python), f"Note {word} in the sandbox.")

        words = list(CELSIUS)
        assert await asyncio.gather(*map(one, words)) == [f"The note says {word}." for word in words]
        assert len(sandboxes_alive()) == 10


@pytest.mark.asyncio
async def test_agents_that_share_tools_are_told_apart_by_their_sessions(names: Names, python: Any) -> None:
    async def one(word: str) -> str:
        with session(word):
            return await ask(agent(names, *python), f"Note {word}.")

    words = list(CELSIUS)[:3]
    assert await asyncio.gather(*map(one, words)) == [f"The note says {word}." for word in words]
    assert len(sandboxes_alive()) == 3


@pytest.mark.asyncio
async def test_an_agent_keeps_its_sandbox_from_one_question_to_the_next(names: Names, python: Any) -> None:
    writer = agent(names, *python)
    for word in ("one", "two"):
        assert await ask(writer, f"Note {word}.") == f"The note says {word}."
    assert len(sandboxes_alive()) == 1


@pytest.mark.asyncio
async def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names, python: Any) -> None:
    writer = agent(names, *python)
    await ask(writer, "Note one.")
    (alive,) = sandboxes_alive()
    Sandbox.delete_by_id(alive)
    await ask(writer, "Note two.")
    (text,) = (await results(writer))[2]["output"]
    assert text["text"].startswith("SandboxTerminatedError: ")
    assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_the_model_is_sent_names_descriptions_and_schemas_as_they_are(names: Names, python: Any) -> None:
    with recorded_model() as (name, asked):
        await ask(agent(names, to_tool(schema_tool()), *python, asked=name), "Hello")
    sent = {tool["function"]["name"]: tool["function"] for tool in asked[0]["tools"]}
    assert sent["send_alert"]["parameters"] == SCHEMA
    assert sent["send_alert"]["description"] == schema_tool().description
    assert set(sent) == {"send_alert", *(tool.name for tool in python)}


@pytest.mark.asyncio
async def test_a_tool_in_two_toolkits_may_have_two_names() -> None:
    tool = to_tool(schema_tool())
    first, second = Toolkit(), Toolkit()
    first.register_tool_function(tool, func_name="warn")
    second.register_tool_function(tool)
    names = [toolkit.get_json_schemas()[0]["function"]["name"] for toolkit in (first, second)]
    assert names == ["warn", "send_alert"]


@pytest.mark.asyncio
async def test_progress_comes_while_the_tool_works_and_a_picture_is_the_frameworks_own() -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        await asyncio.to_thread(report_progress, 1, 2, "half")
        return ToolOutcome("a dot", images=[Image("image/png", "aGk=")])

    toolkit = toolkit_of(to_tool(Tool("draw", "Draw.", perform=draw)))
    call: Any = {"type": "tool_use", "id": "1", "name": "draw", "input": {}}
    half, whole = [chunk async for chunk in await toolkit.call_tool_function(call)]
    assert (half.is_last, half.content[0]["text"]) == (False, "half")
    assert whole.is_last
    assert whole.metadata == {"result": "a dot"}
    source = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    assert whole.content == [{"type": "text", "text": "a dot"}, {"type": "image", "source": source}]
