"""The `anthropic` package itself, with tools and sandboxes of the platform."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agentrun import Sandbox
from agentrun.errors import UnsupportedError
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration.anthropic import AnthropicTools, MessagesModel, model, sandbox_toolset, toolset
from integrations.anthropic.agent import answer
from integrations.anthropic.service import claude
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.recorder import SCHEMA, schema_tool, signed_model
from integrations.scenario.weather import CELSIUS, fahrenheit_squared


@pytest.fixture
def service() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with claude() as found:
        yield found


async def answered(llm: MessagesModel, tools: AnthropicTools, question: str, session_id: str | None = None) -> str:
    messages: list[Any] = [{"role": "user", "content": question}]
    create = llm.async_client.messages.create
    while True:
        reply = await create(model=llm.name, max_tokens=1000, messages=messages, tools=tools)
        if reply.stop_reason != "tool_use":
            return "".join(block.text for block in reply.content if block.type == "text")
        messages += [{"role": "assistant", "content": reply.content}, *await tools.run_calls_async(reply, session_id)]


async def one(name: str, tools: AnthropicTools, question: str) -> str:
    llm = model(name)
    try:
        return await answered(llm, tools, question)
    finally:
        await llm.async_client.close()


def test_the_example_calls_an_api_an_mcp_server_and_a_sandbox(names: Names, service: Any) -> None:
    said = answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names, service[0])
    assert said == fahrenheit_squared("Hangzhou")


def test_an_error_of_a_tool_is_marked_and_the_agent_goes_on(names: Names, service: Any) -> None:
    with toolset(names.weather) as tools:
        said = asyncio.run(one(service[0], tools, "How warm is it in Atlantis?"))
    assert said.startswith("I could not find out: ToolError: status 404")
    (result,) = service[1][-1]["messages"][-1]["content"]
    assert result["is_error"] is True


def test_ten_conversations_at_once_each_have_a_sandbox_of_their_own(names: Names, service: Any) -> None:
    async def all_of_them(tools: AnthropicTools) -> list[str]:
        llm = model(service[0])
        async with llm.async_client:
            return await asyncio.gather(*(answered(llm, tools, f"Note {word}.", session_id=word) for word in CELSIUS))

    with sandbox_toolset(names.sandboxes) as tools:
        assert asyncio.run(all_of_them(tools)) == [f"The note says {word}." for word in CELSIUS]
        assert len(sandboxes_alive()) == 10


def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names) -> None:
    message = {"content": [{"type": "tool_use", "id": "1", "name": "run_code", "input": {"code": "print(1)"}}]}
    with sandbox_toolset(names.sandboxes) as tools:
        tools.run_calls(message)
        Sandbox.delete_by_id(sandboxes_alive()[0])
        (told,) = tools.run_calls(message)
        (result,) = told["content"]
        assert result["is_error"]
        assert result["content"][0]["text"].startswith("SandboxTerminatedError: ")
        assert sandboxes_alive() == []


def test_the_model_is_sent_names_descriptions_and_schemas_as_they_are(service: Any) -> None:
    assert asyncio.run(one(service[0], AnthropicTools([schema_tool()]), "Hello")).startswith("Hello")
    assert service[1][0]["tools"] == [
        {"name": "send_alert", "description": "Warn the people of a place.", "input_schema": SCHEMA}
    ]


def test_pictures_are_in_the_result() -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        return ToolOutcome("a dot", images=[Image("image/png", "aGk=")])

    tools = AnthropicTools([Tool("draw", "Draw.", perform=draw)])
    (told,) = tools.run_calls({"content": [{"type": "tool_use", "id": "7", "name": "draw", "input": {}}]})
    (result,) = told["content"]
    assert (result["tool_use_id"], "is_error" in result) == ("7", False)
    assert result["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": "aGk="}
    assert tools.run_calls({"role": "assistant", "content": "Hello"}) == []


def test_a_model_behind_the_platform_is_refused_because_it_speaks_another_protocol(names: Names) -> None:
    with (
        signed_model(names.model) as name,
        pytest.raises(UnsupportedError, match="does not speak Anthropic's"),
    ):
        model(name)
