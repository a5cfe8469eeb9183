"""The `openai` package itself, with tools, models and sandboxes of the platform."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from agentrun import Sandbox
from agentrun.errors import InvalidInputError
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration.openai import ChatModel, OpenAITools, model, sandbox_toolset, tool_resource, toolset
from integrations.openai.agent import answer
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.recorder import SCHEMA, recorded_model, schema_tool, signed_model
from integrations.scenario.weather import CELSIUS, fahrenheit_squared


async def answered(llm: ChatModel, tools: OpenAITools, question: str, session_id: str | None = None) -> list[Any]:
    """The conversation about a question, streamed, to its end."""
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        async with llm.async_client.chat.completions.stream(model=llm.name, messages=messages, tools=tools) as stream:
            message = (await stream.get_final_completion()).choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return messages
        messages += await tools.run_calls_async(message, session_id)


def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names) -> None:
    assert answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names) == fahrenheit_squared("Hangzhou")


def test_a_stream_and_its_calls_on_an_event_loop(names: Names) -> None:
    with toolset(names.weather).joined(tool_resource(names.units), sandbox_toolset(names.sandboxes)) as tools:
        messages = asyncio.run(answered(model(names.model), tools, "How warm is it in Oslo?"))
    assert messages[-1].content == fahrenheit_squared("Oslo")
    assert len([message for message in messages if isinstance(message, dict) and message["role"] == "tool"]) == 3


def test_an_error_of_a_tool_is_told_to_the_model_and_the_agent_goes_on(names: Names) -> None:
    with toolset(names.weather) as tools:
        messages = asyncio.run(answered(model(names.model), tools, "How warm is it in Atlantis?"))
    assert messages[-1].content.startswith("I could not find out: ToolError: status 404")


def test_ten_conversations_at_once_each_have_a_sandbox_of_their_own(names: Names) -> None:
    async def all_of_them(tools: OpenAITools) -> list[str]:
        llm = model(names.model)
        runs = [answered(llm, tools, f"Note {word}.", session_id=word) for word in CELSIUS]
        return [messages[-1].content for messages in await asyncio.gather(*runs)]

    with sandbox_toolset(names.sandboxes) as tools:
        assert asyncio.run(all_of_them(tools)) == [f"The note says {word}." for word in CELSIUS]
        assert len(sandboxes_alive()) == 10
        tools.close_session("Oslo")
        assert len(sandboxes_alive()) == 9


def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "run_code", "arguments": '{"code": "print(1)"}'}}
    with sandbox_toolset(names.sandboxes) as tools:
        tools.run_calls({"tool_calls": [call]})
        Sandbox.delete_by_id(sandboxes_alive()[0])
        (told,) = tools.run_calls({"tool_calls": [call]})
        assert told["content"].startswith("SandboxTerminatedError: ")
        assert sandboxes_alive() == []


def test_the_model_is_sent_names_descriptions_and_schemas_as_they_are() -> None:
    with recorded_model() as (name, asked):
        messages = asyncio.run(answered(model(name), OpenAITools([schema_tool()]), "Hello"))
    assert messages[-1].content == "Hello, this is a model with a script."
    assert asked[0]["tools"] == [
        {
            "type": "function",
            "function": {"name": "send_alert", "description": "Warn the people of a place.", "parameters": SCHEMA},
        }
    ]


def test_a_model_without_a_key_is_asked_with_signed_requests(names: Names) -> None:
    with signed_model(names.model) as name:
        messages = asyncio.run(answered(model(name), OpenAITools([schema_tool()]), "Hello"))
        hello: Any = [{"role": "user", "content": "Hello"}]
        reply = model(name).client.chat.completions.create(model=model(name).name, messages=hello)
    assert messages[-1].content == reply.choices[0].message.content == "Hello, this is a model with a script."


# What needs no platform


def called(*names_and_arguments: tuple[str, str]) -> dict[str, Any]:
    functions = [{"name": name, "arguments": arguments} for name, arguments in names_and_arguments]
    calls = [{"id": str(i), "type": "function", "function": each} for i, each in enumerate(functions)]
    return {"role": "assistant", "tool_calls": calls}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_calls_run_at_the_same_time(asynchronous: bool) -> None:
    together = threading.Barrier(3)

    def meet(who: str) -> str:
        together.wait(timeout=60)
        return f"{who} came"

    tools = OpenAITools([Tool("meet", "Meet.", func=meet)])
    message = called(*(("meet", json.dumps({"who": who})) for who in "abc"))
    answers = asyncio.run(tools.run_calls_async(message)) if asynchronous else tools.run_calls(message)
    assert [(each["tool_call_id"], each["content"]) for each in answers] == [
        ("0", "a came"),
        ("1", "b came"),
        ("2", "c came"),
    ]


def test_what_a_model_gets_wrong_is_an_answer() -> None:
    tools = OpenAITools([schema_tool()])
    unknown, broken = tools.run_calls(called(("send_alarm", "{}"), ("send_alert", '{"place": ')))
    assert unknown["content"] == "InvalidInputError: there is no tool 'send_alarm'. There are send_alert"
    assert broken["content"].startswith("InvalidInputError: the arguments are not JSON")


def test_pictures_come_after_the_answers() -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        return ToolOutcome("a dot", images=[Image("image/png", "aGk=")])

    first, second, shown = OpenAITools([Tool("draw", "Draw.", perform=draw)]).run_calls(
        called(("draw", ""), ("draw", ""))
    )
    assert (first["role"], second["role"], shown["role"]) == ("tool", "tool", "user")
    assert [part["type"] for part in shown["content"]] == ["text", "image_url"] * 2
    assert shown["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="


def test_a_message_without_calls_has_no_answers() -> None:
    assert OpenAITools([schema_tool()]).run_calls({"role": "assistant", "content": "Hello"}) == []


def test_two_tools_of_one_name_are_refused() -> None:
    one = OpenAITools([schema_tool()])
    with pytest.raises(InvalidInputError, match="two tools 'send_alert'"):
        one.joined(OpenAITools([schema_tool()]))
