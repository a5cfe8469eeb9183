"""AgentScope 2 itself, served."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentrun.server.frameworks import framework_messages
from integrations.agentscope2.server import app
from integrations.scenario.chat import DOCUMENT, PICTURE, SOUND, conversation
from integrations.scenario.platform import Names
from integrations.scenario.served import BEFORE, RECALLED, Served, check_called, check_chat, serving


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


def test_every_part_of_a_chat_has_its_place() -> None:
    system, user, assistant, _, last = framework_messages("agentscope", conversation())
    assert [message.role for message in (system, user, assistant, last)] == ["system", "user", "assistant", "user"]
    text, shown, linked, heard, seen, opened = user.content
    assert text.text == "What is this?"
    assert (shown.source.data, shown.source.media_type) == (PICTURE, "image/png")
    assert str(linked.source.url) == "https://example.com/cat.jpg"
    assert (heard.source.data, heard.source.media_type) == (SOUND, "audio/wav")
    assert (str(seen.source.url), seen.source.media_type) == ("https://example.com/cat.mp4", "video/mp4")
    assert (opened.source.data, opened.name) == (DOCUMENT, "note.txt")
    assert [block.type for block in assistant.content] == [
        "thinking", "text", "tool_call", "tool_call", "tool_result", "tool_result"
    ]  # fmt: skip
    call, result = assistant.content[3], assistant.content[5]
    assert (call.input, call.state) == ('{"city": "Oslo"}', "finished")
    assert (result.id, result.name, result.output[0].text) == ("c2", "get_weather", "-5 degrees")
