"""Hooks: forbidding, changing and recording the calls of tools."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from agentrun._core.closing import Closing
from agentrun.errors import ToolError
from agentrun.integration._hooks import AuditRecord, Hooks, ToolCall, ToolVetoedError
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._select import searchable
from agentrun.integration.utils import CommonToolSet, tool
from tests.unit.modes import both_modes, drive

called_with: list[str] = []


@tool
def send(text: str) -> str:
    called_with.append(text)
    if text == "fail":
        raise ValueError("cannot")
    return f"sent {text}"


@both_modes
def test_a_veto_stops_the_call_and_the_model_reads_why(mode: str) -> None:
    called_with.clear()

    async def forbid(call: ToolCall) -> None:
        raise call.veto("no mail at night", hint="Try in the morning")

    outcome = drive(mode, Hooks(before=forbid)(send).outcome_async({"text": "a"}))
    assert isinstance(outcome.error, ToolVetoedError)
    assert outcome.error.executed == "no"
    assert outcome.text == "ToolVetoedError: no mail at night. Try in the morning"
    assert called_with == []


@both_modes
def test_arguments_and_results_can_be_changed_in_turn(mode: str) -> None:
    def upper(call: ToolCall) -> Mapping[str, Any]:
        return {"text": call.arguments["text"].upper()}

    async def twice(call: ToolCall) -> ToolCall:
        return ToolCall(call.tool, {"text": call.arguments["text"] * 2}, call.session_id, call.call_id)

    def first(call: ToolCall, outcome: ToolOutcome) -> str:
        return f"{outcome.value}!"

    async def second(call: ToolCall, outcome: ToolOutcome) -> ToolOutcome:
        return ToolOutcome(f"{outcome.value}?")

    hooked = Hooks(before=[upper, twice], after=[first, second])(send)
    assert drive(mode, hooked.call_async(text="a")) == "sent AA?!"


def test_a_failure_can_be_turned_into_a_result_and_back() -> None:
    def forgive(call: ToolCall, outcome: ToolOutcome) -> str | None:
        return "never mind" if outcome.is_error else None

    def refuse(call: ToolCall, outcome: ToolOutcome) -> None:
        raise ToolError("secret in the result")

    assert Hooks(after=forgive)(send)(text="fail") == "never mind"
    assert Hooks(after=forgive)(send)(text="a") == "sent a"
    assert "secret in the result" in Hooks(after=refuse)(send).outcome({"text": "a"}).text


def test_a_hook_that_gives_nonsense_back_is_told() -> None:
    assert "gave int back" in Hooks(before=lambda call: 3)(send).outcome({"text": "a"}).text


@both_modes
def test_every_call_is_recorded_however_it_ends(mode: str) -> None:
    records: list[AuditRecord] = []

    async def keep(record: AuditRecord) -> None:
        records.append(record)

    def check(call: ToolCall) -> dict[str, Any] | None:
        if call.arguments.get("text") == "bad":
            raise call.veto("not this")
        return {"text": "changed"} if call.arguments.get("text") == "change" else None

    hooked = Hooks(before=check, audit=keep)(send)
    for text in ("a", "fail", "bad", "change"):
        drive(mode, hooked.outcome_async({"text": text}, "s-7"))
    drive(mode, hooked.outcome_async({"txt": 1}, "s-7"))
    assert [record.status for record in records] == ["ok", "error", "vetoed", "ok", "error"]
    assert [record.arguments for record in records[:4]] == [{"text": t} for t in ("a", "fail", "bad", "change")]
    assert {record.session_id for record in records} == {"s-7"}
    assert {record.tool for record in records} == {"send"}
    assert records[1].error == "ValueError: cannot"
    assert all(record.seconds >= 0 and record.started_at.tzinfo for record in records)
    assert len({record.call_id for record in records}) == 5


def test_an_audit_that_fails_is_logged_and_the_call_stands(caplog: pytest.LogCaptureFixture) -> None:
    def broken(record: AuditRecord) -> None:
        raise OSError("disk full")

    with caplog.at_level(logging.WARNING, "agentrun"):
        assert Hooks(audit=broken)(send)(text="a") == "sent a"
    assert "disk full" in caplog.text


def test_a_call_that_is_cancelled_is_recorded() -> None:
    records: list[AuditRecord] = []

    @tool
    async def slow() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        call = asyncio.create_task(Hooks(audit=records.append)(slow).call_async())
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(main())
    assert [(record.status, record.error) for record in records] == [("error", "CancelledError")]


def test_hooks_of_a_set_are_those_of_each_tool_and_closing_goes_through() -> None:
    closed: list[bool] = []

    class Held(CommonToolSet):
        @tool
        def one(self) -> int:
            return 1

        async def close_async(self) -> None:
            closed.append(True)

    seen: list[str] = []
    with Held().with_hooks(before=lambda call: seen.append(call.tool)) as hooked:
        assert hooked.tools()[0]() == 1
    assert (seen, closed) == (["one"], [True])


def test_methods_may_have_hooks_of_their_own() -> None:
    class Counter(CommonToolSet):
        def __init__(self) -> None:
            super().__init__()
            self.total = 0

        @Hooks(after=lambda call, outcome: f"total {outcome.value}")
        @tool
        def add(self, number: int) -> int:
            self.total += number
            return self.total

    one, other = Counter(), Counter()
    assert one.tools()[0](number=2) == "total 2"
    assert other.add(number=1) == "total 1"


def test_what_a_set_works_with_is_closed_through_hooks_and_search() -> None:
    class Held(Closing):
        def __init__(self) -> None:
            self.closed = 0

        async def close_async(self) -> None:
            self.closed += 1

    held = Held()
    tools = CommonToolSet([send], [held])
    for derived in (tools.with_hooks(), searchable(tools)):
        assert held in derived.closing
        held.closed = 0
        derived.close()
        assert held.closed >= 1


def test_hooks_go_wherever_tools_can_be_modified() -> None:
    changed = CommonToolSet([send]).tools(modify_tool_name=Hooks(after=lambda call, outcome: "hooked"))
    assert changed[0](text="a") == "hooked"
