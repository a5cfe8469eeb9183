"""Reports of a call and its outcome come in order, also from threads, and a call ends when nobody listens any more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentrun._core.progress import report_progress
from agentrun.errors import InvalidInputError
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._reported import Report, reported
from agentrun.integration._session import current_session, session
from agentrun.integration._tool import Perform, Tool


def tool(perform: Perform) -> Tool:
    return Tool("work", "Work.", perform=perform)


@pytest.mark.asyncio
async def test_reports_come_before_the_outcome_from_whichever_thread() -> None:
    async def work(arguments: dict[str, Any]) -> Any:
        report_progress(1, 3)
        await asyncio.to_thread(report_progress, 2, 3, "nearly")
        return arguments

    steps = [step async for step in reported(tool(work), {"a": 1})]
    assert steps == [Report(1, 3), Report(2, 3, "nearly"), ToolOutcome({"a": 1})]
    assert [step.text for step in steps if isinstance(step, Report)] == ["1 of 3", "nearly"]
    assert Report(5).text == "5"


@pytest.mark.asyncio
async def test_a_report_is_there_while_the_call_is_under_way() -> None:
    go_on = asyncio.Event()

    async def work(arguments: dict[str, Any]) -> Any:
        report_progress(1)
        await go_on.wait()

    steps = reported(tool(work), {})
    assert await anext(steps) == Report(1)
    go_on.set()
    assert await anext(steps) == ToolOutcome()


@pytest.mark.asyncio
async def test_an_error_is_an_outcome() -> None:
    async def work(arguments: dict[str, Any]) -> Any:
        raise InvalidInputError("no", field="a")

    (outcome,) = [step async for step in reported(tool(work), {})]
    assert isinstance(outcome, ToolOutcome)
    assert isinstance(outcome.error, InvalidInputError)


@pytest.mark.asyncio
@pytest.mark.parametrize(("given", "around", "seen"), [("one", None, "one"), (None, "two", "two"), (None, None, None)])
async def test_the_session_is_told(given: str | None, around: str | None, seen: str | None) -> None:
    async def work(arguments: dict[str, Any]) -> Any:
        return current_session()

    with session(around):
        assert [step async for step in reported(tool(work), {}, given)] == [ToolOutcome(seen)]


@pytest.mark.asyncio
async def test_a_call_ends_when_nobody_listens_any_more() -> None:
    ended = asyncio.Event()

    async def work(arguments: dict[str, Any]) -> Any:
        report_progress(1)
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    steps = reported(tool(work), {})
    assert await anext(steps) == Report(1)
    await steps.aclose()
    assert ended.is_set()
