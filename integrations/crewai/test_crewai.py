"""CrewAI itself, with tools, models and sandboxes of the platform."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from crewai import Agent, Crew, Flow, Task
from crewai.events.types.flow_events import HumanFeedbackRequestedEvent
from crewai.flow.flow import listen, start
from crewai.tools.tool_failure import ToolFailure

from agentrun import Sandbox
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration.crewai import (
    AgentRunConverter,
    ClosesSession,
    model,
    sandbox_toolset,
    session,
    to_tool,
    tool_resource,
    toolset,
)
from agentrun.server.events import AgentEvent, EventType
from integrations.crewai.agent import answer
from integrations.scenario.platform import Names, sandboxes_alive, signed_model
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool
from integrations.scenario.weather import CELSIUS, fahrenheit_squared


@pytest.fixture
def python(names: Names) -> Iterator[Any]:
    with sandbox_toolset(names.sandboxes) as tools:
        yield tools


def crew(names: Names, question: str, *tools: Any, asked: Any = None, **more: Any) -> Crew:
    llm = asked or model(names.model)
    agent = Agent(role="Tester", goal="Answer", backstory="Short.", llm=llm, tools=list(tools))
    return Crew(agents=[agent], tasks=[Task(description=question, expected_output="An answer.", agent=agent)], **more)


def flow(first: Crew, second: Crew | None = None) -> Flow[Any]:
    class Asks(Flow):  # type: ignore[type-arg]
        @start()
        def ask(self) -> Any:
            return first.kickoff()

        @listen(ask)
        def ask_again(self, said: Any) -> Any:
            return said if second is None else second.kickoff()

    return Asks()


def failures(done: Crew) -> list[str]:
    assert done.tasks[0].output is not None
    return [record.failure.details["error"] for record in done.tasks[0].output.tool_failures]


def of_kind(events: list[AgentEvent], kind: EventType) -> list[dict[str, Any]]:
    return [event.data for event in events if event.event == kind]


def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names) -> None:
    assert answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names) == fahrenheit_squared("Hangzhou")


def test_an_error_of_a_tool_is_told_to_the_model_and_the_crew_goes_on(names: Names) -> None:
    with toolset(names.weather) as weather:
        asking = crew(names, "How warm is it in Atlantis?", *weather)
        assert "I could not find out: ToolError: status 404" in str(asking.kickoff())
    assert failures(asking) == ["ToolError"]


@pytest.mark.parametrize("streams", [True, False])
def test_a_flow_tells_its_events_once(names: Names, python: Any, streams: bool) -> None:
    llm = model(names.model)
    llm.stream = streams
    converter = AgentRunConverter()
    with toolset(names.weather) as weather, tool_resource(names.units) as units:
        asking = crew(names, "How warm is it in Oslo?", *weather, *units, *python, asked=llm)
        with flow(asking).stream_events() as stream:
            events = [told for frame in stream for told in converter.convert(frame)]
    if streams:
        chunks = of_kind(events, EventType.TOOL_CALL_CHUNK)
        called = [(chunk["id"], chunk["name"]) for chunk in chunks if "name" in chunk]
        first = "".join(chunk["args_delta"] for chunk in chunks if chunk["id"] == called[0][0])
        assert not of_kind(events, EventType.TOOL_CALL)
    else:
        calls = of_kind(events, EventType.TOOL_CALL)
        called, first = [(call["id"], call["name"]) for call in calls], calls[0]["args"]
    assert [name for _, name in called] == ["get_weather", "to_fahrenheit", "run_code"]
    assert json.loads(first) == {"city": "Oslo"}
    results = of_kind(events, EventType.TOOL_RESULT)
    assert [result["id"] for result in results] == [call_id for call_id, _ in called]
    assert "23 degrees" in results[1]["result"]
    words = [text["delta"] for text in of_kind(events, EventType.TEXT)]
    assert (len(words) > 1) is streams
    assert "".join(words) == fahrenheit_squared("Oslo")
    assert asking.usage_metrics is not None
    assert asking.usage_metrics.total_tokens > 0


def test_a_crew_streams(names: Names, python: Any) -> None:
    converter = AgentRunConverter()
    output: Any = crew(names, "Note one.", *python, stream=True).kickoff()
    events = [told for chunk in output for told in converter.convert(chunk)]
    named = [chunk["name"] for chunk in of_kind(events, EventType.TOOL_CALL_CHUNK) if "name" in chunk]
    assert named == ["write_file", "read_file"]
    assert "".join(text["delta"] for text in of_kind(events, EventType.TEXT)) == "The note says one."


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["kickoff_async", "akickoff"])
async def test_ten_crews_at_once_each_have_a_sandbox_of_their_own(names: Names, python: Any, way: str) -> None:
    async def one(word: str) -> str:
        return str(await getattr(crew(names, f"Note {word} in the sandbox.", *python), way)())

    words = list(CELSIUS)
    assert await asyncio.gather(*map(one, words)) == [f"The note says {word}." for word in words]
    assert len(sandboxes_alive()) == 10


def test_a_flow_is_a_session_unless_one_is_given(names: Names, python: Any) -> None:
    first = crew(names, "Note one.", *python, after_kickoff_callbacks=[ClosesSession(python)])
    assert str(flow(first, crew(names, "Note two.", *python)).kickoff()) == "The note says two."
    assert len(sandboxes_alive()) == 1
    for word in ("three", "four"):
        with session("ada"):
            assert str(crew(names, f"Note {word}.", *python).kickoff()) == f"The note says {word}."
    assert len(sandboxes_alive()) == 2


@pytest.mark.asyncio
async def test_a_callback_deletes_the_sandbox_of_a_kickoff_that_is_done(names: Names, python: Any) -> None:
    def made(word: str) -> Crew:
        return crew(names, f"Note {word}.", *python, after_kickoff_callbacks=[ClosesSession(python)])

    assert str(await asyncio.to_thread(made("one").kickoff)) == "The note says one."
    assert sandboxes_alive() == []
    assert str(await made("two").akickoff()) == "The note says two."
    assert sandboxes_alive() == []


def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names, python: Any) -> None:
    with session("ada"):
        crew(names, "Note one.", *python).kickoff()
        (alive,) = sandboxes_alive()
        Sandbox.delete_by_id(alive)
        asking = crew(names, "Note two.", *python)
        asking.kickoff()
    assert failures(asking)[0] == "SandboxTerminatedError"
    assert sandboxes_alive() == []


def test_the_model_is_sent_names_descriptions_and_schemas_as_they_are(names: Names, python: Any) -> None:
    with recorded_model() as (name, asked):
        crew(names, "Hello", to_tool(schema_tool()), *python, asked=model(name)).kickoff()
    sent = {tool["function"]["name"]: tool["function"] for tool in asked[0]["tools"]}
    assert sent["send_alert"]["parameters"] == SCHEMA
    assert sent["send_alert"]["description"] == schema_tool().description
    assert "strict" not in sent["send_alert"]
    assert {tool.name: tool.parameters for tool in python} == {
        name: function["parameters"] for name, function in sent.items() if name != "send_alert"
    }


def test_a_task_brings_tools_of_its_own(names: Names) -> None:
    with recorded_model() as (name, asked):
        agent = Agent(role="Tester", goal="Answer", backstory="Short.", llm=model(name))
        tools = [to_tool(schema_tool())]
        task = Task(description="Hello", expected_output="An answer.", agent=agent, tools=tools)
        Crew(agents=[agent], tasks=[task]).kickoff()
    assert asked[0]["tools"][0]["function"]["parameters"] == SCHEMA


@pytest.mark.asyncio
async def test_an_agent_works_without_a_crew_too(names: Names, python: Any) -> None:
    agent = Agent(role="Tester", goal="Answer", backstory="Short.", llm=model(names.model), tools=list(python))
    assert (await agent.kickoff_async("Note one.")).raw == "The note says one."
    assert len(sandboxes_alive()) == 1


@pytest.mark.asyncio
async def test_a_model_without_a_key_is_asked_by_signed_requests(names: Names) -> None:
    with signed_model(names) as name:
        llm = model(name)
        assert "with a script" in await asyncio.to_thread(llm.call, "Hello")
        assert "with a script" in await llm.acall("Hello")


def test_no_key_is_shown_with_the_model(names: Names) -> None:
    llm = model(names.model)
    key = llm.source.openai_kwargs()["api_key"]
    assert f"'{key}'" not in repr(llm).replace(f"model='{key}'", "")
    assert key not in (llm.model_dump()["api_key"], json.loads(llm.model_dump_json())["api_key"])
    assert "api_key" not in llm.to_config_dict()


@pytest.mark.asyncio
async def test_a_tool_works_without_an_agent_too_in_both_modes() -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        return ToolOutcome(f"a {arguments['what']}", images=[Image("image/png", "aGk=")])

    schema = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}
    tool = to_tool(Tool("draw", "Draw.", schema, perform=draw))
    structured = tool.to_structured_tool()
    assert await tool.arun(what="dot") == tool.run(what="dot") == structured.invoke({"what": "dot"}) == "a dot"
    wrong = await tool.arun()
    assert isinstance(wrong, ToolFailure)
    assert wrong.as_agent_message() == "KeyError: 'what'"
    assert tool.args_schema.model_json_schema() == schema


def test_a_request_for_feedback_is_a_question() -> None:
    asked = HumanFeedbackRequestedEvent(
        flow_name="f", method_name="m", output={"a": 1}, message="Well?", request_id="r"
    )
    (event,) = AgentRunConverter().convert(asked)
    assert event.event == EventType.HITL
    assert event.data == {"id": "r", "type": "human_feedback", "prompt": "Well?", "output": {"a": 1}}
