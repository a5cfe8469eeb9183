"""Functions and commands of skills that run in a sandbox: what goes in, what comes out, and whose sandbox it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import BaseModel

from agentrun import Config, Sandbox
from agentrun.emulator import Emulator
from agentrun.errors import InvalidInputError, ToolError
from agentrun.integration._sandboxed import in_sandbox
from agentrun.integration.builtin import skill_tools
from agentrun.integration.builtin.sandbox import SessionSandboxes
from agentrun.integration.utils import Tool, tool
from agentrun.sandbox.toolset import SandboxToolSet
from tests.resources.modes import Mode
from tests.resources.sandboxes import TEMPLATE, account

SECRET = "only here"


@pytest.fixture(scope="module")
def config(emulator: Emulator) -> Iterator[Config]:
    with account(emulator) as settings:
        yield settings


@pytest.fixture(scope="module")
def sandboxes(config: Config) -> Iterator[SandboxToolSet]:
    with SandboxToolSet.of_template(TEMPLATE, config=config) as made:
        yield made


def ready(config: Config) -> set[str | None]:
    return {found.sandbox_id for found in Sandbox.list_all(config=config) if found.status == "READY"}


class Item(BaseModel):
    name: str
    count: int = 2


@tool
def total(items: list[Item], factor: float = 1.5) -> dict[str, Any]:
    """Add up.

    Args:
        items: What there is.
        factor: Times what.
    """
    import platform

    print("noise")
    counts = sum(item["count"] for item in cast("list[Any]", items))  # There they are objects of JSON.
    return {"total": counts * factor, "node": platform.node(), "pid": os.getpid()}


def test_a_function_runs_there_with_checked_arguments(call: Mode, sandboxes: SandboxToolSet) -> None:
    there = in_sandbox(total, sandboxes, imports=["import os", "from typing import Any, cast"])
    assert (there.name, there.description, there.parameters) == (total.name, total.description, total.parameters)
    found = call(there, "call", items=[{"name": "a"}, {"name": "b", "count": 3}])
    assert found["total"] == 7.5
    wrong = call(there, "outcome", {"items": [{"count": 1}]})
    assert isinstance(wrong.error, InvalidInputError)
    assert wrong.error.field == "items[0].name"


def test_asynchronous_functions_and_generators_run_there_too(call: Mode, sandboxes: SandboxToolSet) -> None:
    async def waits(number: int) -> int:
        import asyncio

        await asyncio.sleep(0)
        return number + 1

    def counts(to: int, /) -> Iterator[int]:
        yield from range(to)

    assert call(in_sandbox(waits, sandboxes), "call", number=1) == 2
    assert call(in_sandbox(counts, sandboxes), "call", to=3) == [0, 1, 2]


def test_what_it_raises_comes_back_with_its_traceback(call: Mode, sandboxes: SandboxToolSet) -> None:
    def divide(by: int) -> float:
        return 1 / by

    outcome = call(in_sandbox(divide, sandboxes), "outcome", {"by": 0})
    assert isinstance(outcome.error, ToolError)
    assert outcome.error.message.startswith("ZeroDivisionError")
    assert "return 1 / by" in outcome.text


def test_nothing_of_this_process_is_there(sandboxes: SandboxToolSet) -> None:
    def leak() -> str:
        return SECRET

    assert "NameError" in in_sandbox(leak, sandboxes).outcome({}).text


def test_what_is_no_json_is_an_error(sandboxes: SandboxToolSet) -> None:
    def odd() -> Any:
        return object()

    assert "TypeError" in in_sandbox(odd, sandboxes).outcome({}).text


def test_a_function_that_takes_too_long_is_stopped(sandboxes: SandboxToolSet) -> None:
    def forever() -> None:
        while True:
            pass

    assert isinstance(in_sandbox(forever, sandboxes, timeout=1).outcome({}).error, ToolError)


def test_functions_that_cannot_be_sent_are_refused(sandboxes: SandboxToolSet) -> None:
    number = 3

    def closes() -> int:
        return number

    def power(base: int, exponent: int) -> int:
        return int(base**exponent)

    async def perform(arguments: dict[str, Any]) -> Any:
        return arguments

    for function, said in (
        (closes, "uses number"),
        (lambda: 1, "not defined by `def`"),
        (partial(power, exponent=2), "cannot be sent"),
        (Tool("own", "", perform=perform), "is no function"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            in_sandbox(function, sandboxes)


def test_each_session_has_a_sandbox_of_its_own(call: Mode, config: Config) -> None:
    def mark(text: str) -> list[str]:
        from pathlib import Path

        with Path("/home/user/marks").open("a") as file:
            file.write(text)
        return Path("/home/user/marks").read_text().split()

    before = ready(config)
    with SessionSandboxes(partial(SandboxToolSet.of_template, TEMPLATE, config=config)) as sandboxes:
        there = in_sandbox(mark, sandboxes)
        for session, text, marks in (("a", "1 ", ["1"]), ("b", "2 ", ["2"]), ("a", "3 ", ["1", "3"])):
            assert call(there, "outcome", {"text": text}, session).value == marks
        assert len(ready(config)) == len(before) + 2
    assert ready(config) == before


def test_commands_of_skills_run_in_the_sandbox_of_their_session(call: Mode, config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "skills" / "greet"
    (folder / "bin").mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: greeting\ndescription: Greets\n---\nRun bin/greet.")
    (folder / "bin" / "greet").write_text("#!/bin/sh\necho hello $1 >> said; cat said; pwd\n")
    with skill_tools(skills_dir=str(tmp_path / "skills"), config=config, sandbox=TEMPLATE) as tools:
        execute = tools.tools()[2]
        first = call(execute, "outcome", {"command": "bin/greet you", "skill_name": "greeting"}, "s1")
        again = call(execute, "outcome", {"command": "cat greet/said; exit 4"}, "s1")
        other = call(execute, "outcome", {"command": "cat greet/said"}, "s2")
    assert first.value["stdout"] == "hello you\n/home/user/skills/greet\n"
    assert (again.value["stdout"], again.value["exit_code"]) == ("hello you\n", 4)
    assert other.value["exit_code"] == 1
    assert not (folder / "said").exists()
