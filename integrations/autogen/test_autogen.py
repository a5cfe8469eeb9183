"""AutoGen itself, with tools, models and sandboxes of the platform."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import TextMessageTermination
from autogen_agentchat.messages import (
    BaseChatMessage,
    HandoffMessage,
    TextMessage,
    ToolCallExecutionEvent,
    UserInputRequestedEvent,
)
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.models import UserMessage

from agentrun import Sandbox
from agentrun._core.progress import report_progress
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import Tools
from agentrun.integration.autogen import (
    AgentRunConverter,
    AgentRunWorkbench,
    ToolFailed,
    ToolProgressEvent,
    model,
    sandbox_toolset,
    session,
    to_tool,
    tool_resource,
    toolset,
)
from agentrun.server.events import AgentEvent, EventType
from integrations.autogen.agent import answer
from integrations.scenario.platform import Names, sandboxes_alive, signed_model
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool
from integrations.scenario.weather import CELSIUS, fahrenheit_squared


@pytest.fixture
def python(names: Names) -> Iterator[Any]:
    with sandbox_toolset(names.sandboxes) as tools:
        yield tools


def agent(names: Names, *tools: Any, asked: str | None = None, **more: Any) -> AssistantAgent:
    given = {} if "workbench" in more else {"tools": list(tools)}
    return AssistantAgent("tester", model(asked or names.model), max_tool_iterations=10, **given, **more)


def team(names: Names, *tools: Any, **more: Any) -> RoundRobinGroupChat:
    return RoundRobinGroupChat([agent(names, *tools)], termination_condition=TextMessageTermination("tester"), **more)


def said(result: TaskResult) -> str:
    return result.messages[-1].to_text()


def outcomes(result: TaskResult) -> list[Any]:
    events = [message for message in result.messages if isinstance(message, ToolCallExecutionEvent)]
    return [done for event in events for done in event.content]


def of_kind(events: list[AgentEvent], kind: EventType) -> list[dict[str, Any]]:
    return [event.data for event in events if event.event == kind]


def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names) -> None:
    assert answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names) == fahrenheit_squared("Hangzhou")


@pytest.mark.asyncio
async def test_an_error_of_a_tool_is_told_to_the_model_and_the_agent_goes_on(names: Names) -> None:
    with toolset(names.weather) as weather:
        result = await agent(names, *weather).run(task="How warm is it in Atlantis?")
    assert "I could not find out: ToolError: status 404" in said(result)
    assert [done.is_error for done in outcomes(result)] == [True]


@pytest.mark.asyncio
@pytest.mark.parametrize("streams", [True, False])
async def test_a_run_tells_its_events_once_and_its_usage(names: Names, python: Any, streams: bool) -> None:
    converter = AgentRunConverter()
    with toolset(names.weather) as weather, tool_resource(names.units) as units:
        asking = agent(names, *weather, *units, *python, model_client_stream=streams)
        raw = [event async for event in asking.run_stream(task="How warm is it in Oslo?")]
    events = [told for event in raw for told in converter.convert(event)]
    calls = of_kind(events, EventType.TOOL_CALL)
    assert [call["name"] for call in calls] == ["get_weather", "to_fahrenheit", "run_code"]
    assert [json.loads(call["args"]) for call in calls][:2] == [{"city": "Oslo"}, {"celsius": -5.0}]
    results = of_kind(events, EventType.TOOL_RESULT)
    assert [result["id"] for result in results] == [call["id"] for call in calls]
    words = [text["delta"] for text in of_kind(events, EventType.TEXT)]
    assert (len(words) > 1) is streams
    assert isinstance(raw[-1], TaskResult)
    assert "".join(words) == said(raw[-1]) == fahrenheit_squared("Oslo")
    usages = [message.models_usage for message in raw[-1].messages if message.models_usage]
    assert len(usages) == 4
    assert all(usage.prompt_tokens > 0 for usage in usages)


@pytest.mark.asyncio
async def test_ten_teams_at_once_each_have_a_sandbox_of_their_own(names: Names, python: Any) -> None:
    async def one(word: str) -> str:
        return said(await team(names, *python).run(task=f"Note {word} in the sandbox."))

    words = list(CELSIUS)
    assert await asyncio.gather(*map(one, words)) == [f"The note says {word}." for word in words]
    assert len(sandboxes_alive()) == 10


@pytest.mark.asyncio
async def test_ten_agents_at_once_each_in_a_session_of_its_own(names: Names, python: Any) -> None:
    async def one(word: str) -> str:
        with session(word):
            return said(await agent(names, *python).run(task=f"Note {word} in the sandbox."))

    words = list(CELSIUS)
    assert await asyncio.gather(*map(one, words)) == [f"The note says {word}." for word in words]
    assert len(sandboxes_alive()) == 10
    await python.close_session_async(words[0])
    assert len(sandboxes_alive()) == 9


@pytest.mark.asyncio
async def test_a_team_has_one_sandbox(names: Names, python: Any) -> None:
    both = team(names, *python)
    for word in ("one", "two"):
        assert said(await both.run(task=f"Note {word}.")) == f"The note says {word}."
        await both.reset()
    assert len(sandboxes_alive()) == 1
    with session("ada"):
        await team(names, *python).run(task="Note three.")
        await team(names, *python).run(task="Note four.")
    assert len(sandboxes_alive()) == 2


@pytest.mark.asyncio
async def test_a_workbench_makes_its_tools_late_and_closes_them(names: Names) -> None:
    made: list[Tools[Any]] = []

    def make() -> Tools[Any]:
        made.append(sandbox_toolset(names.sandboxes))
        return made[-1]

    async with AgentRunWorkbench(make) as workbench:
        assert made == []
        writer = agent(names, workbench=workbench)
        for word in ("one", "two"):
            assert said(await writer.run(task=f"Note {word}.")) == f"The note says {word}."
        assert len(sandboxes_alive()) == 1
        await workbench.reset()
        assert sandboxes_alive() == []
        assert said(await writer.run(task="Note three.")) == "The note says three."
        unknown = await workbench.call_tool("nothing")
        assert unknown.is_error
    assert sandboxes_alive() == []
    assert len(made) == 1


@pytest.mark.asyncio
async def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names, python: Any) -> None:
    await agent(names, *python).run(task="Note one.")
    (alive,) = sandboxes_alive()
    await Sandbox.delete_by_id_async(alive)
    result = await agent(names, *python).run(task="Note two.")
    first = outcomes(result)[0]
    assert first.is_error
    assert first.content.startswith("SandboxTerminatedError: ")
    assert sandboxes_alive() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("bench", [True, False])
async def test_the_model_is_sent_names_descriptions_and_schemas_as_they_are(
    names: Names, python: Any, bench: bool
) -> None:
    tools = Tools([to_tool(schema_tool()), *python])
    with recorded_model() as (name, asked):
        given: dict[str, Any] = {"workbench": AgentRunWorkbench(tools)} if bench else {}
        await agent(names, *tools, asked=name, **given).run(task="Hello")
    sent = {tool["function"]["name"]: tool["function"] for tool in asked[0]["tools"]}
    assert sent["send_alert"]["parameters"] == SCHEMA
    assert sent["send_alert"]["description"] == schema_tool().description
    assert not sent["send_alert"]["strict"]
    assert set(sent) == {"send_alert", *(tool.name for tool in python)}


@pytest.mark.asyncio
async def test_progress_is_in_the_stream_also_of_a_team(names: Names) -> None:
    async def warm(arguments: dict[str, Any]) -> Any:
        report_progress(1, 2, "half")
        await asyncio.to_thread(report_progress, 2, 2, "done")
        return "There is no such city."

    tools = Tools([to_tool(Tool("get_weather", "Tell.", perform=warm))])
    asking = agent(names, workbench=AgentRunWorkbench(tools, progress=True))
    alone = [event async for event in asking.run_stream(task="How warm is it in Oslo?")]
    chat = RoundRobinGroupChat(
        [asking],
        termination_condition=TextMessageTermination("tester"),
        custom_message_types=[ToolProgressEvent],
    )
    together = [event async for event in chat.run_stream(task="How warm is it in Oslo?")]
    for raw in (alone, together):
        told = [event for event in raw if isinstance(event, ToolProgressEvent)]
        assert [(event.source, event.done, event.total, event.content) for event in told] == [
            ("get_weather", 1, 2, "half"),
            ("get_weather", 2, 2, "done"),
        ]
        (first, _) = [each for event in told for each in AgentRunConverter().convert(event)]
        assert first.event == EventType.CUSTOM
        assert first.data["value"]["content"] == "half"


@pytest.mark.asyncio
async def test_a_call_can_be_cancelled(names: Names) -> None:
    began, ended = asyncio.Event(), []

    async def wait(arguments: dict[str, Any]) -> Any:
        began.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            ended.append(True)
            raise

    token = CancellationToken()
    asking = agent(names, to_tool(Tool("get_weather", "Tell.", perform=wait)))
    running = asyncio.ensure_future(asking.run(task="How warm is it in Oslo?", cancellation_token=token))
    await began.wait()
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 60)
    assert ended == [True]


@pytest.mark.asyncio
async def test_a_tool_works_without_an_agent_too() -> None:
    async def draw(arguments: dict[str, Any]) -> Any:
        return f"a {arguments['what']}"

    tool = to_tool(Tool("draw", "Draw.", {"type": "object", "properties": {"what": {"type": "string"}}}, perform=draw))
    assert await tool.run_json({"what": "dot"}, CancellationToken()) == "a dot"
    with pytest.raises(ToolFailed, match=r"^KeyError: 'what'$") as raised:
        await tool.run_json({}, CancellationToken())
    assert isinstance(raised.value.__cause__, KeyError)


@pytest.mark.asyncio
async def test_a_model_is_asked_without_an_agent_and_stays_open(names: Names) -> None:
    asked = model(names.model)
    for _ in range(2):
        done = await asked.create([UserMessage(content="Hello", source="user")])
        assert "with a script" in str(done.content)
        await asked.close()


@pytest.mark.asyncio
async def test_a_model_without_a_key_is_asked_by_signed_requests(names: Names) -> None:
    with signed_model(names) as name:
        for streams in (False, True):
            asking = agent(names, to_tool(schema_tool()), asked=name, model_client_stream=streams)
            assert "with a script" in said(await asking.run(task="Hello"))


def test_questions_and_handoffs_are_events_and_what_a_person_says_is_none() -> None:
    converter = AgentRunConverter()
    messages: list[Any] = [
        TextMessage(source="user", content="Hi"),
        UserInputRequestedEvent(source="person", request_id="r"),
        HandoffMessage(source="a", target="b", content="over to b"),
    ]
    assert isinstance(messages[0], BaseChatMessage)
    question, handoff = [told for message in messages for told in converter.convert(message)]
    assert (question.event, question.data["id"]) == (EventType.HITL, "r")
    assert (handoff.event, handoff.data["value"]["target"]) == (EventType.CUSTOM, "b")
