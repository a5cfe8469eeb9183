"""What a model wrote as arguments, and tools that keep a thing for each session of an agent."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun.errors import InvalidInputError
from agentrun.integration._session import PerSession, current_session
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import Tools


async def echo(arguments: dict[str, Any]) -> Any:
    return {"arguments": arguments, "session": current_session()}


ECHO = Tool("echo", "Say it again.", perform=echo)


@pytest.mark.parametrize("arguments", [{"a": 1}, '{"a": 1}'])
def test_arguments_are_an_object_or_its_json(arguments: Any) -> None:
    assert ECHO.outcome(arguments, "one").value == {"arguments": {"a": 1}, "session": "one"}


def test_no_arguments_are_an_empty_object() -> None:
    assert ECHO.outcome("").value["arguments"] == {}


@pytest.mark.parametrize(
    ("arguments", "told"), [('{"a": ', "the arguments are not JSON"), ("[1]", "the arguments are not an object: [1]")]
)
@pytest.mark.asyncio
async def test_arguments_that_a_model_got_wrong_are_an_outcome(arguments: str, told: str) -> None:
    outcome = await ECHO.outcome_async(arguments)
    assert isinstance(outcome.error, InvalidInputError)
    assert told in outcome.text


class Kept(PerSession):
    def __init__(self) -> None:
        self.closed: list[str | None] = []

    async def close_session_async(self, session_id: str | None) -> None:
        self.closed.append(session_id)

    async def close_async(self) -> None:
        self.closed.append("all")


def test_a_list_of_tools_gives_back_what_one_session_has() -> None:
    kept = Kept()
    with Tools([ECHO], [kept]) as tools:
        tools.close_session("one")
    assert kept.closed == ["one", "all"]
