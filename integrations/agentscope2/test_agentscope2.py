"""AgentScope 2 itself, with tools, models and sandboxes of the platform."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from agentscope.agent import Agent, InjectionConfig
from agentscope.event import ConfirmResult, UserConfirmResultEvent
from agentscope.message import ToolCallBlock, ToolResultBlock, UserMsg
from agentscope.permission import PermissionContext, PermissionMode
from agentscope.state import AgentState
from agentscope.tool import Toolkit

from agentrun import Sandbox
from agentrun._core.progress import report_progress
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration.agentscope import AgentRunConverter, model, sandbox_toolset, to_tool, tool_resource, toolset
from agentrun.server.events import AgentEvent, EventType
from integrations.agentscope2.agent import answer
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool
from integrations.scenario.weather import CELSIUS, fahrenheit_squared


@pytest.fixture
def python(names: Names) -> Iterator[Any]:
    with sandbox_toolset(names.sandboxes) as tools:
        yield tools


def state(session_id: str | None = None, mode: PermissionMode = PermissionMode.BYPASS) -> AgentState:
    named = {"session_id": session_id} if session_id else {}
    return AgentState(permission_context=PermissionContext(mode=mode), **named)


def agent(names: Names, *tools: Any, asked: str | None = None, **more: Any) -> Agent:
    more.setdefault("state", state())
    return Agent(
        "Tester",
        "You test.",
        model(asked or names.model),
        toolkit=Toolkit(tools=list(tools)),
        injection_config=InjectionConfig(inject_runtime_state=False),
        **more,
    )


async def ask(agent: Agent, question: str) -> str:
    return (await agent.reply(UserMsg("user", question))).get_text_content() or ""


async def told(agent: Agent, given: Any) -> list[AgentEvent]:
    converter = AgentRunConverter()
    return [told async for event in agent.reply_stream(given) for told in converter.convert(event)]


def of_kind(events: list[AgentEvent], kind: EventType) -> list[dict[str, Any]]:
    return [event.data for event in events if event.event == kind]


def results(agent: Agent) -> list[ToolResultBlock]:
    blocks = [block for message in agent.state.context for block in message.content]
    return [block for block in blocks if isinstance(block, ToolResultBlock)]


def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names) -> None:
    assert answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names) == fahrenheit_squared("Hangzhou")


@pytest.mark.asyncio
async def test_an_error_of_a_tool_is_told_to_the_model_and_the_agent_goes_on(names: Names) -> None:
    with toolset(names.weather) as weather:
        asking = agent(names, *weather)
        events = await told(asking, UserMsg("user", "How warm is it in Atlantis?"))
    said = "".join(data["delta"] for data in of_kind(events, EventType.TEXT))
    assert "I could not find out: ToolError: status 404" in said
    assert [result.state for result in results(asking)] == ["error"]
    assert [data["is_error"] for data in of_kind(events, EventType.TOOL_RESULT)] == [True]


@pytest.mark.asyncio
async def test_a_run_streams_and_tells_its_events_and_its_usage(names: Names, python: Any) -> None:
    converter, events, tokens = AgentRunConverter(), list[AgentEvent](), 0
    with toolset(names.weather) as weather, tool_resource(names.units) as units:
        asking = agent(names, *weather, *units, *python)
        async for event in asking.reply_stream(UserMsg("user", "How warm is it in Oslo?"), yield_final_msg=True):
            events += converter.convert(event)
            tokens += getattr(event, "output_tokens", 0)
    chunks = of_kind(events, EventType.TOOL_CALL_CHUNK)
    assert [chunk["name"] for chunk in chunks if "name" in chunk] == ["get_weather", "to_fahrenheit", "run_code"]
    by_call: dict[str, str] = {}
    for chunk in chunks:
        by_call[chunk["id"]] = by_call.get(chunk["id"], "") + chunk["args_delta"]
    assert [json.loads(arguments) for arguments in by_call.values()][:2] == [{"city": "Oslo"}, {"celsius": -5.0}]
    found = of_kind(events, EventType.TOOL_RESULT)
    assert [result["id"] for result in found] == list(by_call)
    assert json.loads(found[2]["result"])["stdout"] == "529\n"
    words = [data["delta"] for data in of_kind(events, EventType.TEXT)]
    assert len(words) > 1
    assert "".join(words) == fahrenheit_squared("Oslo")
    assert tokens > 0


@pytest.mark.asyncio
async def test_ten_agents_at_once_each_have_a_sandbox_of_their_own(names: Names, python: Any) -> None:
    words = list(CELSIUS)
    said = await asyncio.gather(*(ask(agent(names, *python), f"Note {word} in the sandbox.") for word in words))
    assert said == [f"The note says {word}." for word in words]
    assert len(sandboxes_alive()) == 10


@pytest.mark.asyncio
async def test_a_session_has_one_sandbox_whichever_agent_goes_on_with_it(names: Names, python: Any) -> None:
    for word in ("one", "two"):
        assert await ask(agent(names, *python, state=state("chat")), f"Note {word}.") == f"The note says {word}."
    assert len(sandboxes_alive()) == 1
    await python.close_session_async("chat")
    assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names, python: Any) -> None:
    writer = agent(names, *python)
    await ask(writer, "Note one.")
    (alive,) = sandboxes_alive()
    Sandbox.delete_by_id(alive)
    await ask(writer, "Note two.")
    failed = results(writer)[2]
    assert (failed.state, failed.metadata["error"]) == ("error", "SandboxTerminatedError")
    assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_the_model_is_sent_names_descriptions_and_whole_schemas(names: Names, python: Any) -> None:
    with recorded_model() as (name, asked):
        await ask(agent(names, to_tool(schema_tool()), *python, asked=name), "Hello")
    sent = {tool["function"]["name"]: tool["function"] for tool in asked[0]["tools"]}
    # AgentScope writes what is referred to in the place of the reference, for models that know no references.
    whole = {**SCHEMA, "properties": {**SCHEMA["properties"], "place": SCHEMA["$defs"]["Place"]}}
    del whole["$defs"]
    assert sent["send_alert"]["parameters"] == whole
    assert sent["send_alert"]["description"] == schema_tool().description
    assert {"send_alert", *(tool.name for tool in python)} <= set(sent)


@pytest.mark.asyncio
async def test_the_user_is_asked_where_the_mode_of_the_agent_says_so(names: Names) -> None:
    with toolset(names.weather) as weather:
        asking = agent(names, *weather, state=state(mode=PermissionMode.DEFAULT))
        events = await told(asking, UserMsg("user", "How warm is it in Atlantis?"))
        (question,) = of_kind(events, EventType.HITL)
        assert (question["type"], question["name"]) == ("tool_approval", "get_weather")
        (call,) = [block for message in asking.state.context for block in message.content if block.type == "tool_call"]
        assert isinstance(call, ToolCallBlock)
        yes = UserConfirmResultEvent(
            reply_id=asking.state.reply_id, confirm_results=[ConfirmResult(confirmed=True, tool_call=call)]
        )
        events = await told(asking, yes)
    assert [data["id"] for data in of_kind(events, EventType.TOOL_RESULT)] == [question["id"]]
    assert "I could not find out: " in "".join(data["delta"] for data in of_kind(events, EventType.TEXT))


@pytest.mark.asyncio
async def test_progress_comes_while_the_tool_works_and_a_picture_is_the_frameworks_own() -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        await asyncio.to_thread(report_progress, 1, 2, "half")
        return ToolOutcome("a dot", images=[Image("image/png", "aGk=")])

    toolkit = Toolkit(tools=[to_tool(Tool("draw", "Draw.", perform=draw))])
    call = ToolCallBlock(id="1", name="draw", input="{}")
    half, last, whole = [chunk async for chunk in toolkit.call_tool(call, AgentState())]
    assert half.metadata == {"mcp_progress": {"progress": 1, "total": 2, "message": "half"}}
    assert last.is_last
    assert whole.state == "success"
    assert whole.metadata == {"result": "a dot"}
    text, picture = whole.content
    assert (text.text, picture.source.data, picture.source.media_type) == ("a dot", "aGk=", "image/png")


@pytest.mark.asyncio
async def test_progress_is_told_in_the_events_and_a_cancelled_reply_ends_the_call(names: Names) -> None:
    ended = asyncio.Event()

    async def dawdle(arguments: dict[str, Any]) -> Any:
        report_progress(1, None, "begun")
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    tool = Tool("get_weather", "Wait.", {"type": "object", "properties": {"city": {}}}, perform=dawdle)
    converter = AgentRunConverter()

    async def follow() -> None:
        async for event in agent(names, to_tool(tool)).reply_stream(UserMsg("user", "How warm is it in Oslo?")):
            for each in converter.convert(event):
                if each.event == EventType.CUSTOM:
                    begun.append(each.data)
                    task.cancel()

    begun: list[dict[str, Any]] = []
    task = asyncio.create_task(follow())
    _, slow = await asyncio.wait([task], timeout=120)
    assert not slow
    assert [(data["name"], data["value"]["message"]) for data in begun] == [("mcp_progress", "begun")]
    await asyncio.wait_for(ended.wait(), 60)
