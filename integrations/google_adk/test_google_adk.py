"""Google's ADK itself, with tools, models and sandboxes of the platform."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.adk.agents import LlmAgent, RunConfig
from google.adk.agents.run_config import StreamingMode
from google.adk.events import Event, EventActions
from google.adk.runners import InMemoryRunner
from google.genai import types
from pydantic import BaseModel

from agentrun import Sandbox
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import Tools
from agentrun.integration.google_adk import (
    AgentRunConverter,
    AgentRunToolset,
    model,
    sandbox_toolset,
    session_of,
    to_tool,
    tool_resource,
    toolset,
)
from agentrun.integration.google_adk_messages import asked
from agentrun.integration.google_adk_model import LlmRequest, _call
from agentrun.server.events import AgentEvent, EventType
from integrations.google_adk.agent import answer
from integrations.scenario.platform import Names, sandboxes_alive, signed_model
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool
from integrations.scenario.weather import CELSIUS, fahrenheit_squared

STREAMS = RunConfig(streaming_mode=StreamingMode.SSE)


@asynccontextmanager
async def running(names: Names, *tools: Any, asked: str | None = None, **more: Any) -> AsyncIterator[InMemoryRunner]:
    agent = LlmAgent(name="tester", model=model(asked or names.model), tools=list(tools), **more)
    async with InMemoryRunner(agent) as runner:
        yield runner


async def run(runner: InMemoryRunner, question: str, user: str = "u", session: str = "s", **more: Any) -> list[Event]:
    events: list[Event] = await runner.run_debug(question, user_id=user, session_id=session, quiet=True, **more)
    return events


def said(events: list[Event]) -> str:
    content = events[-1].content
    assert content is not None
    return "".join(part.text or "" for part in content.parts or ())


def responses(events: list[Event]) -> list[dict[str, Any]]:
    return [response.response or {} for event in events for response in event.get_function_responses()]


def of_kind(events: list[AgentEvent], kind: EventType) -> list[dict[str, Any]]:
    return [event.data for event in events if event.event == kind]


@pytest.mark.asyncio
async def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names) -> None:
    told = await answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names)
    assert told == fahrenheit_squared("Hangzhou")


@pytest.mark.asyncio
async def test_an_error_of_a_tool_is_told_to_the_model_and_the_agent_goes_on(names: Names) -> None:
    async with running(names, AgentRunToolset(toolset(names.weather))) as runner:
        events = await run(runner, "How warm is it in Atlantis?")
    (response,) = responses(events)
    assert response["error"].startswith("ToolError: status 404")
    assert said(events).startswith("I could not find out: ")


@pytest.mark.asyncio
@pytest.mark.parametrize("config", [STREAMS, RunConfig()])
async def test_a_run_streams_and_tells_its_events_and_its_usage(names: Names, config: RunConfig) -> None:
    tools = [toolset(names.weather), tool_resource(names.units), sandbox_toolset(names.sandboxes)]
    async with running(names, *map(AgentRunToolset, tools)) as runner:
        raw = await run(runner, "How warm is it in Oslo?", run_config=config)
    converter = AgentRunConverter()
    events = [told for event in raw for told in converter.convert(event)]
    calls = of_kind(events, EventType.TOOL_CALL)
    assert [call["name"] for call in calls] == ["get_weather", "to_fahrenheit", "run_code"]
    assert [json.loads(call["args"]) for call in calls][:2] == [{"city": "Oslo"}, {"celsius": -5.0}]
    results = of_kind(events, EventType.TOOL_RESULT)
    assert [result["id"] for result in results] == [call["id"] for call in calls]
    assert not [result for result in results if result.get("is_error")]
    words = [text["delta"] for text in of_kind(events, EventType.TEXT)]
    assert (len(words) > 1) is (config is STREAMS)
    assert "".join(words) == said(raw) == fahrenheit_squared("Oslo")
    assert all(event.usage_metadata.total_token_count for event in raw if event.usage_metadata)
    assert len([event for event in raw if event.usage_metadata]) == 4


@pytest.mark.asyncio
async def test_ten_agents_at_once_each_have_a_sandbox_of_their_own(names: Names) -> None:
    words = list(CELSIUS)
    async with running(names, AgentRunToolset(sandbox_toolset(names.sandboxes))) as runner:
        # One session id for all of them: it is the user who differs.
        ran = await asyncio.gather(*(run(runner, f"Note {word} in the sandbox.", user=word) for word in words))
        assert [said(events) for events in ran] == [f"The note says {word}." for word in words]
        assert len(sandboxes_alive()) == 10


@pytest.mark.asyncio
async def test_a_session_has_one_sandbox_and_the_runner_closes_it(names: Names) -> None:
    python = sandbox_toolset(names.sandboxes)
    async with running(names, AgentRunToolset(python)) as runner:
        for word in ("one", "two"):
            assert said(await run(runner, f"Note {word}.")) == f"The note says {word}."
        assert len(sandboxes_alive()) == 1
        await run(runner, "Note three.", session="other/session")
        assert len(sandboxes_alive()) == 2
        await python.close_session_async(f"{runner.app_name}/u/other%2Fsession")
        assert len(sandboxes_alive()) == 1
    assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names) -> None:
    async with running(names, AgentRunToolset(sandbox_toolset(names.sandboxes))) as runner:
        await run(runner, "Note one.")
        (alive,) = sandboxes_alive()
        await Sandbox.delete_by_id_async(alive)
        events = await run(runner, "Note two.")
        assert responses(events)[0]["error"].startswith("SandboxTerminatedError: ")
        assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_the_model_is_sent_names_descriptions_and_schemas_as_they_are(names: Names) -> None:
    python = sandbox_toolset(names.sandboxes)

    def plain(word: str, count: int = 1) -> str:
        """A function of the user's own."""
        return word * count

    with recorded_model() as (name, sent_to_it):
        toolsets = [AgentRunToolset(python, tool_name_prefix="py", tool_filter=["read_file"])]
        async with running(names, to_tool(schema_tool()), plain, *toolsets, asked=name) as runner:
            await run(runner, "Hello")
    sent = {tool["function"]["name"]: tool["function"] for tool in sent_to_it[0]["tools"]}
    assert sent["send_alert"]["parameters"] == SCHEMA
    assert sent["send_alert"]["description"] == schema_tool().description
    assert sent["plain"]["parameters"]["properties"]["count"]["type"] == "integer"
    assert set(sent) == {"send_alert", "plain", "py_read_file"}


@pytest.mark.asyncio
async def test_pictures_are_parts_and_the_model_sees_them_after_the_result() -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        return ToolOutcome("a dot", images=[Image("image/png", "aGk=")])

    tool = to_tool(Tool("draw", "Draw.", perform=draw))
    answered = await tool.run_async(args={}, tool_context=context())
    assert answered["result"] == "a dot"
    assert answered["images"][0].inline_data.data == b"hi"
    part = types.Part.from_function_response(
        name="draw",
        response={"result": "a dot"},
        parts=[types.FunctionResponsePart.from_bytes(data=b"hi", mime_type="image/png")],
    )
    result, shown = asked(LlmRequest(contents=[types.Content(role="user", parts=[part])]))["messages"]
    assert (result["role"], json.loads(result["content"])) == ("tool", {"result": "a dot"})
    assert shown["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="


@pytest.mark.asyncio
async def test_arguments_that_are_no_json_are_an_error_of_the_tool() -> None:
    tool = to_tool(schema_tool())
    part = _call("1", "send_alert", '{"a"')
    assert part.function_call is not None
    answered = await tool.run_async(args=part.function_call.args or {}, tool_context=context())
    assert "the arguments are not JSON" in answered["error"]
    (message,) = asked(LlmRequest(contents=[types.Content(role="model", parts=[part])]))["messages"]
    assert message["tool_calls"][0]["function"]["arguments"] == '{"a"'


def test_settings_of_a_request_are_told_in_the_words_of_the_chat_api() -> None:
    class Answer(BaseModel):
        number: int

    config = types.GenerateContentConfig(
        system_instruction="Be short.",
        temperature=0.5,
        max_output_tokens=7,
        stop_sequences=["."],
        response_schema=Answer,
        tools=[
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name="f",
                        parameters=types.Schema(type=types.Type.OBJECT, properties={"a": types.Schema(type="STRING")}),
                    )
                ]
            )
        ],
        tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY")),
    )
    thought = types.Part(text="Hm.", thought=True)
    contents = [
        types.Content(
            role="user", parts=[types.Part(text="Hi"), types.Part.from_bytes(data=b"x", mime_type="image/png")]
        ),
        types.Content(role="model", parts=[thought, types.Part(text="Ho")]),
    ]
    given = asked(LlmRequest(contents=contents, config=config))
    assert given["messages"][0] == {"role": "system", "content": "Be short."}
    assert [piece["type"] for piece in given["messages"][1]["content"]] == ["text", "image_url"]
    assert given["messages"][2] == {"role": "assistant", "content": "Ho"}
    assert (given["temperature"], given["max_tokens"], given["stop"], given["tool_choice"]) == (
        0.5,
        7,
        ["."],
        "required",
    )
    assert given["response_format"]["json_schema"]["schema"] == Answer.model_json_schema()
    assert given["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {"a": {"type": "string"}}}


def test_questions_states_and_errors_are_events() -> None:
    call = types.FunctionCall(
        id="1",
        name="adk_request_confirmation",
        args={"toolConfirmation": {"hint": "Really?"}, "originalFunctionCall": {}},
    )
    content = types.Content(role="model", parts=[types.Part(function_call=call)])
    actions = EventActions(state_delta={"a": 1})
    raw = Event(author="tester", content=content, actions=actions, error_code="X", error_message="no")
    question, error, state = AgentRunConverter().convert(raw)
    assert (question.event, question.data["prompt"]) == (EventType.HITL, "Really?")
    assert (error.event, error.data) == (EventType.ERROR, {"message": "no", "code": "X"})
    assert (state.event, state.data) == (EventType.STATE, {"delta": {"a": 1}})


@pytest.mark.asyncio
async def test_a_toolset_makes_its_tools_late(names: Names) -> None:
    made: list[Tools[Any]] = []

    def make() -> Tools[Any]:
        made.append(sandbox_toolset(names.sandboxes))
        return made[-1]

    async with running(names, AgentRunToolset(make)) as runner:
        assert made == []
        await run(runner, "Note one.")
        await run(runner, "Note two.")
    assert len(made) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("config", [STREAMS, RunConfig()])
async def test_a_model_without_a_key_is_asked_by_signed_requests(names: Names, config: RunConfig) -> None:
    with signed_model(names) as name:
        async with running(names, asked=name) as runner:
            assert "with a script" in said(await run(runner, "Hello", run_config=config))


def test_sessions_of_different_users_are_different() -> None:
    assert session_of(context(user="a/b", session="c")) != session_of(context(user="a", session="b/c"))


def context(app: str = "app", user: str = "u", session: str = "s") -> Any:
    """As much of a tool's context as a tool reads."""
    held = type("Session", (), {"app_name": app, "user_id": user, "id": session})()
    return type("Context", (), {"session": held})()
