"""LlamaIndex itself, with tools, models and sandboxes of the platform."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import Memory
from llama_index.core.tools.calling import acall_tool, call_tool
from llama_index.core.workflow import Context, InputRequiredEvent

from agentrun import Sandbox
from agentrun._core.progress import report_progress
from agentrun.errors import SandboxTerminatedError
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration.llama_index import (
    AgentRunConverter,
    ToolProgressEvent,
    model,
    sandbox_toolset,
    to_tool,
    tool_resource,
    toolset,
)
from agentrun.server.events import EventType
from integrations.llama_index.agent import answer
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool, signed_model
from integrations.scenario.weather import CELSIUS, fahrenheit_squared


@pytest.fixture
def python(names: Names) -> Iterator[Any]:
    with sandbox_toolset(names.sandboxes) as tools:
        yield tools


def agent(names: Names, *tools: Any, asked: str | None = None, **more: Any) -> FunctionAgent:
    return FunctionAgent(llm=model(asked or names.model), tools=list(tools), **more)


async def run(runner: Any, question: str, **more: Any) -> tuple[str, list[Any]]:
    handler = runner.run(question, **more)
    events = [event async for event in handler.stream_events()]
    return str(await handler), events


def results(events: list[Any]) -> list[ToolCallResult]:
    return [event for event in events if isinstance(event, ToolCallResult)]


def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names) -> None:
    assert answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names) == fahrenheit_squared("Hangzhou")


@pytest.mark.asyncio
async def test_an_error_of_a_tool_is_told_to_the_model_and_the_agent_goes_on(names: Names) -> None:
    with toolset(names.weather) as weather:
        said, events = await run(agent(names, *weather), "How warm is it in Atlantis?")
    assert "I could not find out: ToolError: status 404" in said
    assert [event.tool_output.is_error for event in results(events)] == [True]


@pytest.mark.asyncio
async def test_a_run_streams_and_tells_its_events_and_its_usage(names: Names, python: Any) -> None:
    converter = AgentRunConverter()
    with toolset(names.weather) as weather, tool_resource(names.units) as units:
        said, events = await run(agent(names, *weather, *units, *python), "How warm is it in Oslo?")
    told = [each for event in events for each in converter.convert(event)]
    calls = [each.data for each in told if each.event == EventType.TOOL_CALL]
    assert [call["name"] for call in calls] == ["get_weather", "to_fahrenheit", "run_code"]
    assert calls[0]["args"] == '{"city": "Oslo"}'
    answers = [each.data for each in told if each.event == EventType.TOOL_RESULT]
    assert [each["id"] for each in answers] == [call["id"] for call in calls]
    words = [each.data["delta"] for each in told if each.event == EventType.TEXT]
    assert len(words) > 1
    assert "".join(words) == said == fahrenheit_squared("Oslo")
    usage = [event.raw["usage"] for event in events if getattr(event, "raw", None) and event.raw.get("usage")]
    assert usage[-1]["total_tokens"] > 0


@pytest.mark.asyncio
async def test_an_agent_that_does_not_stream_tells_its_answer_once(names: Names) -> None:
    converter = AgentRunConverter()
    said, events = await run(agent(names, schema_tool_of(), streaming=False), "Hello")
    words = [each.data["delta"] for event in events for each in converter.convert(event)]
    assert words == [said] == ["Hello, this is a model with a script."]


def schema_tool_of() -> Any:
    return to_tool(schema_tool())


@pytest.mark.asyncio
async def test_ten_agents_at_once_each_have_a_sandbox_of_their_own(names: Names, python: Any) -> None:
    async def one(word: str) -> str:
        return (await run(agent(names, *python), f"Note {word} in the sandbox."))[0]

    words = list(CELSIUS)
    assert await asyncio.gather(*map(one, words)) == [f"The note says {word}." for word in words]
    assert len(sandboxes_alive()) == 10


@pytest.mark.asyncio
async def test_a_context_or_a_memory_with_a_name_is_a_session(names: Names, python: Any) -> None:
    writer = agent(names, *python)
    context: Context[Any] = Context(writer)
    for word in ("one", "two"):
        said, _ = await run(writer, f"Note {word}.", ctx=context)
        assert said == f"The note says {word}."
    assert len(sandboxes_alive()) == 1
    again: Context[Any] = Context.from_dict(writer, context.to_dict())
    await run(writer, "Note three.", ctx=again)
    assert len(sandboxes_alive()) == 1
    for _ in range(2):
        workflow = AgentWorkflow(agents=[agent(names, *python, name="Clerk", description="Writes.")])
        memory: Any = Memory.from_defaults(session_id="ada")
        said, _ = await run(workflow, "Note four.", memory=memory)
        assert said == "The note says four."
        await memory.sql_store._async_engine.dispose()  # The framework leaves its database open.
    assert len(sandboxes_alive()) == 2


@pytest.mark.asyncio
async def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names, python: Any) -> None:
    writer = agent(names, *python)
    context: Context[Any] = Context(writer)
    await run(writer, "Note one.", ctx=context)
    (alive,) = sandboxes_alive()
    Sandbox.delete_by_id(alive)
    _, events = await run(writer, "Note two.", ctx=context)
    first = results(events)[0].tool_output
    assert first.is_error
    assert isinstance(first.exception, SandboxTerminatedError)
    assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_the_model_is_sent_names_descriptions_and_schemas_as_they_are(names: Names, python: Any) -> None:
    with recorded_model() as (name, asked):
        await run(agent(names, schema_tool_of(), *python, asked=name), "Hello")
    sent = {tool["function"]["name"]: tool["function"] for tool in asked[0]["tools"]}
    assert sent["send_alert"]["parameters"] == SCHEMA
    assert sent["send_alert"]["description"] == schema_tool().description
    assert not sent["send_alert"]["strict"]
    assert {tool.metadata.name: tool.metadata.get_parameters_dict() for tool in python} == {
        name: function["parameters"] for name, function in sent.items() if name != "send_alert"
    }


@pytest.mark.asyncio
async def test_a_model_without_a_key_is_asked_with_signed_requests(names: Names, python: Any) -> None:
    with signed_model(names.model) as name:
        assert (await run(agent(names, *python, asked=name), "Note one."))[0] == "The note says one."
        assert "with a script" in str(await asyncio.to_thread(model(name).chat, [ChatMessage("Hello")]))


def test_a_model_is_asked_without_an_event_loop(names: Names) -> None:
    assert "with a script" in str(model(names.model).chat([ChatMessage("Hello")]))


@pytest.mark.asyncio
async def test_a_tool_works_without_an_agent_too_in_both_modes() -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        return ToolOutcome(f"a {arguments['what']}", images=[Image("image/png", "aGk=")])

    schema = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}
    tool = to_tool(Tool("draw", "Draw.", schema, perform=draw))
    for output in (await acall_tool(tool, {"what": "dot"}), call_tool(tool, {"what": "dot"}), tool("dot")):
        assert (output.content, output.is_error) == ("a dot", False)
        picture: Any = output.blocks[1]
        assert picture.resolve_image().read() == b"hi"
    wrong = await tool.acall()
    assert wrong.is_error
    assert wrong.content.startswith("KeyError: ")


@pytest.mark.asyncio
async def test_progress_and_questions_are_in_the_stream(names: Names) -> None:
    async def warn(arguments: dict[str, Any]) -> Any:
        report_progress(1, 2, "half")
        return "sent"

    tool = to_tool(Tool("get_weather", "Tell.", SCHEMA, perform=warn))
    _, events = await run(agent(names, tool), "How warm is it in Oslo?")
    (progress,) = [event for event in events if isinstance(event, ToolProgressEvent)]
    assert (progress.done, progress.total, progress.message) == (1, 2, "half")
    converter = AgentRunConverter()
    assert [each.event for each in converter.convert(progress)] == [EventType.CUSTOM]
    (question,) = converter.convert(InputRequiredEvent(prefix="Really?"))  # type: ignore[call-arg]
    assert (question.event, question.data["prompt"]) == (EventType.HITL, "Really?")
