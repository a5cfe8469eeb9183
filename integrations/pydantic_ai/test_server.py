"""PydanticAI itself, served."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from pydantic_ai.messages import BinaryContent

from agentrun.server.frameworks import framework_messages
from integrations.pydantic_ai.server import app
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
    asked, called, answered, said, last = framework_messages("pydantic-ai", conversation())
    system, user = asked.parts
    assert system.content == "Be brief."
    text, shown, linked, heard, seen, opened = user.content
    assert text == "What is this?"
    assert shown == BinaryContent(base64.b64decode(PICTURE), media_type="image/png")
    assert (linked.kind, linked.url) == ("image-url", "https://example.com/cat.jpg")
    assert heard == BinaryContent(base64.b64decode(SOUND), media_type="audio/wav")
    assert (seen.kind, seen.url, seen.media_type) == ("video-url", "https://example.com/cat.mp4", "video/mp4")
    assert (opened.data, opened.media_type) == (base64.b64decode(DOCUMENT), "text/plain")
    assert [part.part_kind for part in called.parts] == ["thinking", "text", "tool-call", "tool-call"]
    assert called.parts[3].args_as_dict() == {"city": "Oslo"}
    assert [(part.tool_name, part.tool_call_id) for part in answered.parts] == [
        ("get_weather", "c1"),
        ("get_weather", "c2"),
    ]
    assert said.parts[0].content == "Warm in Lima."
    assert last.parts[0].content == "Hello"
