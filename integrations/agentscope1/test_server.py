"""AgentScope 1.0 itself, served: the program that users of AgentScope Runtime begin with, and its memories."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from agentscope.agent import ReActAgent
from agentscope.formatter import OpenAIChatFormatter
from agentscope.message import Msg

from agentrun.integration.agentscope import AgentScopeLongTermMemory, AgentScopeSessionHistoryMemory, model
from agentrun.server.frameworks import framework_messages
from agentrun.server.services import InMemoryMemoryService, InMemorySessionHistoryService
from integrations.scenario.chat import PICTURE, SOUND, conversation
from integrations.scenario.platform import Names
from integrations.scenario.recorder import recorded_model
from integrations.scenario.served import Served, running


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with running("integrations.agentscope1.quickstart") as found:
        yield found


def test_the_quickstart_thinks_speaks_calls_and_answers(served: Served) -> None:
    answer = served.ask("Compute 6 * 7", session="sum")
    assert answer.error is None
    kinds = [kind for kind, _ in answer.messages]
    assert kinds == ["reasoning", "message", "plugin_call", "plugin_call_output", "message"]
    thought, spoken, call, output, told = (said for _, said in answer.messages)
    assert (thought, spoken, told) == ("A computer knows.", "I will compute it.", "It is 42.")
    assert json.loads(call["arguments"]) == {"code": "print(6 * 7)"}
    assert call["call_id"] == output["call_id"]
    assert "42" in output["output"]


def test_the_next_question_of_a_session_knows_the_one_before(served: Served) -> None:
    assert served.ask("Hello", session="talk").error is None
    recalled = "I recall: user=Hello, assistant=Hello, this is a model with a script."
    assert served.ask("Recall", session="talk").text == recalled
    assert served.ask("Recall", session="talk", user="another").text == "I recall: "


# Messages


def test_every_part_of_a_chat_has_its_place() -> None:
    system, user, assistant, first, second, _, last = framework_messages("agentscope", conversation())
    assert [message.role for message in (system, user, assistant, first, second, last)] == [
        "system", "user", "assistant", "system", "system", "user"
    ]  # fmt: skip
    text, shown, linked, heard, seen, named = user.content
    assert text["text"] == "What is this?"
    assert shown["source"] == {"type": "base64", "media_type": "image/png", "data": PICTURE}
    assert linked["source"] == {"type": "url", "url": "https://example.com/cat.jpg"}
    assert (heard["type"], heard["source"]["data"]) == ("audio", SOUND)
    assert (seen["type"], seen["source"]["url"]) == ("video", "https://example.com/cat.mp4")
    assert named["text"] == "[file note.txt text/plain]"
    assert user.metadata["files"][0]["filename"] == "note.txt"
    kinds = [block["type"] for block in assistant.content]
    assert kinds == ["thinking", "text", "tool_use", "tool_use"]
    assert assistant.content[3]["input"] == {"city": "Oslo"}
    (result,) = second.content
    assert (result["id"], result["name"], result["output"][0]["text"]) == ("c2", "get_weather", "-5 degrees")


# Memories


@pytest.fixture
async def sessions() -> AsyncIterator[InMemorySessionHistoryService]:
    async with InMemorySessionHistoryService() as service:
        yield service


@pytest.fixture
async def memories() -> AsyncIterator[InMemoryMemoryService]:
    async with InMemoryMemoryService() as service:
        yield service


def memory_of(service: InMemorySessionHistoryService) -> AgentScopeSessionHistoryMemory:
    return AgentScopeSessionHistoryMemory(service, "ada", "s1")


async def texts(memory: AgentScopeSessionHistoryMemory, **which: Any) -> list[str]:
    return [message.get_text_content() or "" for message in await memory.get_memory(**which)]


async def test_a_memory_is_what_the_session_has(sessions: InMemorySessionHistoryService) -> None:
    memory = memory_of(sessions)
    said = [Msg("ada", text, "user") for text in ("one", "two", "three")]
    await memory.add(said)
    await memory.add(said[0])
    await memory.add(None)
    assert await memory.size() == 3
    assert await texts(memory_of(sessions)) == ["one", "two", "three"]
    assert await memory.delete([said[1].id, "nobody"]) == 1
    assert await texts(memory) == ["one", "three"]
    await memory.clear()
    assert await memory_of(sessions).size() == 0
    await memory.add(said[1])
    assert await texts(memory) == ["two"]


async def test_two_agents_share_a_session_and_lose_nothing(sessions: InMemorySessionHistoryService) -> None:
    first, second = memory_of(sessions), memory_of(sessions)
    await first.add(Msg("ada", "one", "user"))
    await second.add(Msg("bob", "two", "user"))
    await first.add(Msg("ada", "three", "user"))
    assert await texts(second) == ["one", "two", "three"]


async def test_marks_and_the_summary_are_the_state_and_messages_are_not(
    sessions: InMemorySessionHistoryService,
) -> None:
    memory = memory_of(sessions)
    await memory.add([Msg("ada", text, "user") for text in ("one", "two")])
    await memory.add(Msg("hint", "be quick", "user"), marks="hint")
    assert await memory.delete_by_mark("hint") == 1
    assert await memory.update_messages_mark("old", msg_ids=[(await memory.get_memory())[0].id]) == 1
    await memory.update_compressed_summary("In short.")
    again = memory_of(sessions)
    again.load_state_dict(json.loads(json.dumps(memory.state_dict())))
    assert await texts(again, exclude_mark="old") == ["In short.", "two"]
    assert await texts(again, mark="old", prepend_summary=False) == ["one"]
    assert "content" not in memory.state_dict()


async def test_what_others_said_in_the_session_is_read(sessions: InMemorySessionHistoryService) -> None:
    session = await sessions.get_session("ada", "s1")
    await sessions.append_message(session, {"role": "user", "content": "by another framework"})
    assert await texts(memory_of(sessions)) == ["by another framework"]


async def test_what_was_recorded_is_found_in_another_session(memories: InMemoryMemoryService) -> None:
    first = AgentScopeLongTermMemory(memories, "ada", "s1")
    said = [Msg("ada", "My cat is called Mio", "user"), None, Msg("long_term_memory", "A reminder of a cat", "user")]
    await first.record([*said, *said])
    await first.record(said)
    second = AgentScopeLongTermMemory(memories, "ada", "s2")
    assert await second.retrieve(Msg("ada", "What is my cat called?", "user")) == "My cat is called Mio"
    assert await second.retrieve(None) == ""
    assert len(await memories.list_memory("ada")) == 1
    assert await AgentScopeLongTermMemory(memories, "bob", "s1").retrieve(Msg("bob", "cat", "user")) == ""


async def test_an_agent_may_record_and_retrieve_by_itself(memories: InMemoryMemoryService) -> None:
    memory = AgentScopeLongTermMemory(memories, "ada", "s1")
    await memory.record_to_memory("It may matter.", ["Ada likes tea", "Ada lives in Lima"])
    found = await memory.retrieve_from_memory(["tea", "lima"])
    assert found.content[0]["text"] == "Ada likes tea\nAda lives in Lima"
    nothing = await memory.retrieve_from_memory(["coffee"])
    assert nothing.content[0]["text"] == "Nothing was recorded about that."


async def test_an_agent_that_remembers_is_reminded(names: Names, memories: InMemoryMemoryService) -> None:
    async def ask(llm: str, session: str, question: str) -> None:
        memory = AgentScopeLongTermMemory(memories, "ada", session)
        agent = ReActAgent(
            "Friday",
            "You help.",
            model(llm),
            OpenAIChatFormatter(),
            long_term_memory=memory,
            long_term_memory_mode="static_control",
        )
        agent.set_console_output_enabled(False)
        await agent(Msg("ada", question, "user"))

    with recorded_model() as (llm, asked):
        await ask(llm, "s1", "Hello, my cat is called Mio")
        await ask(llm, "s2", "Hello, what is my cat called?")
    assert "is called Mio" in json.dumps(asked[-1]["messages"])
