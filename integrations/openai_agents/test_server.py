"""The OpenAI Agents SDK itself, served."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integrations.openai_agents.server import app
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
