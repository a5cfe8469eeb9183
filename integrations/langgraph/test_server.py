"""LangGraph itself, served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.tools import tool

from agentrun.integration.langgraph import model
from agentrun.server import AgentApp, Message
from agentrun.server.frameworks import framework_messages
from integrations.langgraph.agent import graph
from integrations.langgraph.server import app
from integrations.scenario.chat import DOCUMENT, PICTURE, SOUND, conversation
from integrations.scenario.platform import Names
from integrations.scenario.served import BEFORE, RECALLED, Served, check_called, check_chat, look_up, serving

THREAD: Any = {"configurable": {"thread_id": "one"}}


@pytest.fixture(scope="module")
def served(names: Names) -> Iterator[Served]:
    with serving(app) as found:
        yield found


def test_a_served_agent_calls_a_tool(served: Served) -> None:
    check_called(served.ask("Look up ada"))


def test_what_was_said_before_reaches_the_model(served: Served) -> None:
    assert served.ask(*BEFORE, "Recall").text == RECALLED


def test_a_chat_streams_the_same(served: Served) -> None:
    check_chat(served)


@pytest.mark.parametrize("mode", ["messages", "updates", "values", ["updates", "messages"], ["messages", "values"]])
def test_no_mode_tells_what_was_said_before(names: Names, mode: Any) -> None:
    app = AgentApp()

    @app.query(framework="langgraph")
    async def answer(self: Any, msgs: Any, request: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        agent = graph(model(names.model).bind_tools([tool(look_up)]), [tool(look_up)])
        async for event in agent.astream({"messages": msgs}, config=THREAD, stream_mode=mode):
            yield event

    with serving(app) as served:
        answer = served.ask(*BEFORE, "Look up ada")
    assert [kind for kind, _ in answer.messages] == ["message", "plugin_call", "plugin_call_output", "message"]
    assert answer.text == "Let me see.\nIt says: a language."


def test_every_part_of_a_chat_has_its_place() -> None:
    system, user, assistant, _, second, _, last = framework_messages("langgraph", conversation())
    assert [message.type for message in (system, user, assistant, second, last)] == [
        "system", "human", "ai", "tool", "human"
    ]  # fmt: skip
    text, shown, linked, heard, seen, opened = user.content_blocks
    assert text["text"] == "What is this?"
    assert (shown["base64"], shown["mime_type"]) == (PICTURE, "image/png")
    assert linked["url"] == "https://example.com/cat.jpg"
    assert (heard["type"], heard["base64"]) == ("audio", SOUND)
    assert (seen["type"], seen["url"]) == ("video", "https://example.com/cat.mp4")
    assert (opened["type"], opened["base64"], opened["mime_type"]) == ("file", DOCUMENT, "text/plain")
    assert assistant.content_blocks[0] == {"type": "reasoning", "reasoning": "The weather matters."}
    assert [call["args"] for call in assistant.tool_calls] == [{"city": "Lima"}, {"city": "Oslo"}]
    assert (second.tool_call_id, second.name, second.content) == ("c2", "get_weather", "-5 degrees")


def test_arguments_that_are_no_json_are_kept() -> None:
    broken = {"id": "c1", "function": {"name": "look_up", "arguments": '{"word": '}}
    message = Message.model_validate({"role": "assistant", "tool_calls": [broken]})
    (made,) = framework_messages("langgraph", [message])
    assert made.tool_calls == []
    assert made.invalid_tool_calls[0]["args"] == '{"word": '
