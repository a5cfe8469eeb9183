"""Sandboxes as ADK's code executors."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.agents import LlmAgent
from google.adk.code_executors.code_execution_utils import CodeExecutionInput, CodeExecutionResult, File
from google.adk.events import Event
from google.adk.runners import InMemoryRunner
from google.genai import types

from agentrun import Sandbox
from agentrun.integration.google_adk import AgentRunConverter, model
from agentrun.integration.google_adk_executor import SandboxCodeExecutor
from agentrun.server.events import EventType
from integrations.scenario.platform import Names, sandboxes_alive


def ran(executor: SandboxCodeExecutor, code: str, session: str = "s", files: Any = ()) -> CodeExecutionResult:
    held = type("Session", (), {"app_name": "app", "user_id": "u", "id": session})()
    context: Any = type("Context", (), {"session": held})()
    return executor.execute_code(context, CodeExecutionInput(code=code, input_files=list(files)))


@pytest.mark.asyncio
async def test_an_agent_runs_the_code_that_its_model_writes(names: Names) -> None:
    async with SandboxCodeExecutor(names.sandboxes) as executor:
        agent = LlmAgent(name="coder", model=model(names.model), code_executor=executor)
        async with InMemoryRunner(agent) as runner:
            raw: list[Event] = []
            for code in ("n = 6 * 7", "print(n)"):
                raw += await runner.run_debug(f"Run {code}", session_id="s", quiet=True)
        assert len(sandboxes_alive()) == 1
    converter = AgentRunConverter()
    events = [told for event in raw for told in converter.convert(event)]
    results = [event.data for event in events if event.event == EventType.TOOL_RESULT]
    calls = [event.data for event in events if event.event == EventType.TOOL_CALL]
    assert [result["id"] for result in results] == [call["id"] for call in calls]
    assert "42" in results[1]["result"]
    assert not results[1].get("is_error")
    last = [part.text for part in raw[-1].content.parts]  # type: ignore[union-attr]
    assert "42" in last[0]


def test_sessions_have_variables_of_their_own(names: Names) -> None:
    with SandboxCodeExecutor(names.sandboxes, timeout_seconds=20) as executor:
        ran(executor, "n = 1", "a")
        assert ran(executor, "print(n)", "a").stdout == "1\n"
        failed = ran(executor, "print(n)", "b")
        assert "NameError" in failed.stderr
        assert failed.exit_code == 1
        assert len(sandboxes_alive()) == 2
        executor.close_session("app/u/a")
        assert len(sandboxes_alive()) == 1


def test_files_go_in_and_pictures_come_out_and_a_warning_is_no_failure(names: Names) -> None:
    with SandboxCodeExecutor(names.sandboxes) as executor:
        read = ran(executor, "print(open('data.csv').read())", files=[File("data.csv", "YSxi", "text/csv")])
        assert read.stdout == "a,b\n"
        warned = ran(executor, "import sys; print('careful', file=sys.stderr)")
        assert (warned.stdout, warned.stderr, warned.exit_code) == ("careful\n", "", 0)
        drawn = ran(executor, "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
        assert [file.mime_type for file in drawn.output_files] == ["image/png"]
        assert bytes(drawn.output_files[0].content)[:4] == b"\x89PNG"  # type: ignore[arg-type]


def test_a_sandbox_that_died_is_told_to_the_model(names: Names) -> None:
    with SandboxCodeExecutor(names.sandboxes) as executor:
        ran(executor, "n = 1")
        (alive,) = sandboxes_alive()
        Sandbox.delete_by_id(alive)
        assert ran(executor, "print(n)").stderr.startswith("SandboxTerminatedError: ")
        assert sandboxes_alive() == []


def test_the_code_of_the_model_is_found() -> None:
    part = types.Part.from_executable_code(code="1", language=types.Language.PYTHON)
    (event,) = AgentRunConverter().convert(Event(author="coder", content=types.Content(role="model", parts=[part])))
    assert event.event == EventType.TOOL_CALL
