"""AutoGen itself, served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import MultiModalMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import Image

from agentrun.integration.autogen import model
from agentrun.server import AgentApp
from agentrun.server.frameworks import framework_messages
from integrations.autogen.server import app
from integrations.scenario.chat import conversation
from integrations.scenario.platform import Names
from integrations.scenario.served import BEFORE, RECALLED, Served, check_called, check_chat, look_up, serving


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


def test_a_result_that_did_not_stream_tells_all_of_it(names: Names) -> None:
    app = AgentApp()

    @app.query(framework="autogen")
    async def answer(self: Any, msgs: Any, request: Any = None, **kwargs: Any) -> TaskResult:
        agent = AssistantAgent("Friday", model(names.model), tools=[look_up], max_tool_iterations=5)
        return await agent.run(task=msgs)

    with serving(app) as served:
        answer = served.ask(*BEFORE, "Look up ada")
    assert [kind for kind, _ in answer.messages if kind != "reasoning"] == [
        "plugin_call", "plugin_call_output", "message"
    ]  # fmt: skip
    assert answer.text == "It says: a language."


def test_a_team_knows_what_was_said_before(names: Names) -> None:
    app = AgentApp()

    @app.query(framework="autogen")
    async def answer(self: Any, msgs: Any, request: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        member = AssistantAgent("Friday", model(names.model), model_client_stream=True)
        team = RoundRobinGroupChat([member], termination_condition=MaxMessageTermination(len(msgs) + 1))
        async for event in team.run_stream(task=msgs):
            yield event

    with serving(app) as served:
        assert served.ask(*BEFORE, "Recall").text == RECALLED


def test_every_part_of_a_chat_has_its_place() -> None:
    system, user, assistant, _, second, _, last = framework_messages("autogen", conversation())
    assert system.to_model_message().type == "SystemMessage"
    assert isinstance(user, MultiModalMessage)
    text, shown, *named = user.content
    assert text == "What is this?"
    assert isinstance(shown, Image)
    assert named == [
        "[image image/jpeg: https://example.com/cat.jpg]",
        "[audio audio/wav]",
        "[video video/mp4: https://example.com/cat.mp4]",
        "[file note.txt text/plain]",
    ]
    told = assistant.to_model_message()
    assert told.thought == "The weather matters.\nLet me look."
    assert [(call.id, call.arguments) for call in told.content] == [
        ("c1", '{"city": "Lima"}'),
        ("c2", '{"city": "Oslo"}'),
    ]
    (result,) = second.to_model_message().content
    assert (result.call_id, result.name, result.content) == ("c2", "get_weather", "-5 degrees")
    assert last.to_model_message().content == "Hello"
