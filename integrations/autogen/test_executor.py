"""Sandboxes as AutoGen's code executors."""

from __future__ import annotations

import asyncio
import json

import pytest
from autogen_agentchat.agents import AssistantAgent, CodeExecutorAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeResult
from autogen_ext.tools.code_execution import PythonCodeExecutionTool

from agentrun import Sandbox
from agentrun.integration.autogen import AgentRunConverter, model, session
from agentrun.integration.autogen_executor import SandboxCodeExecutor
from agentrun.server.events import EventType
from integrations.scenario.platform import Names, sandboxes_alive


async def ran(executor: SandboxCodeExecutor, *blocks: tuple[str, str]) -> CodeResult:
    found = [CodeBlock(code=code, language=language) for language, code in blocks]
    return await executor.execute_code_blocks(found, CancellationToken())


@pytest.mark.asyncio
async def test_an_agent_runs_the_code_that_another_writes(names: Names) -> None:
    async with SandboxCodeExecutor(names.sandboxes) as executor:
        coder = AssistantAgent("coder", model(names.model))
        team = RoundRobinGroupChat(
            [coder, CodeExecutorAgent("runner", executor)], termination_condition=MaxMessageTermination(3)
        )
        result = await team.run(task="Run print(6 * 7)")
        assert result.messages[-1].to_text() == "42\n"
        assert len(sandboxes_alive()) == 1


@pytest.mark.asyncio
async def test_an_agent_runs_the_code_that_it_writes(names: Names) -> None:
    converter = AgentRunConverter()
    async with SandboxCodeExecutor(names.sandboxes) as executor:
        agent = CodeExecutorAgent("runner", executor, model_client=model(names.model))
        task = "Run print('tool_output', 6 * 7)"
        events = [told async for event in agent.run_stream(task=task) for told in converter.convert(event)]
    call, result, text = events
    assert (call.event, result.event, text.event) == (EventType.TOOL_CALL, EventType.TOOL_RESULT, EventType.TEXT)
    assert json.loads(call.data["args"])["blocks"][0]["code"].strip() == "print('tool_output', 6 * 7)"
    assert result.data == {"id": call.data["id"], "result": "tool_output 42\n"}
    assert "42" in text.data["delta"]


@pytest.mark.asyncio
async def test_variables_stay_and_a_failure_is_the_last_block(names: Names) -> None:
    async with SandboxCodeExecutor(names.sandboxes) as executor:
        assert await ran(executor, ("python", "n = 1"), ("", "print(n)"), ("sh", "echo hi")) == CodeResult(0, "1\nhi\n")
        failed = await ran(executor, ("python", "print(m)"), ("python", "print('not reached')"))
        assert failed.exit_code == 1
        assert "NameError" in failed.output
        assert "not reached" not in failed.output
        unknown = await ran(executor, ("cobol", "DISPLAY 1."))
        assert unknown.exit_code == 1
        assert "cobol cannot be run" in unknown.output
        assert len(sandboxes_alive()) == 1
        await executor.restart()
        assert sandboxes_alive() == []
        assert "NameError" in (await ran(executor, ("python", "print(n)"))).output
    assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_code_that_takes_too_long_says_so(names: Names) -> None:
    async with SandboxCodeExecutor(names.sandboxes, timeout=2) as executor:
        await ran(executor, ("python", "1"))
        late = await ran(executor, ("python", "print('began', flush=True)\nimport time; time.sleep(300)"))
        assert late.exit_code == 124
        assert late.output.startswith("began\n")


@pytest.mark.asyncio
async def test_sessions_have_variables_of_their_own(names: Names) -> None:
    async def one(executor: SandboxCodeExecutor, word: str) -> str:
        with session(word):
            await ran(executor, ("python", f"word = {word!r}"))
            return (await ran(executor, ("python", "print(word)"))).output

    async with SandboxCodeExecutor(names.sandboxes) as executor:
        words = ["a", "b", "c"]
        assert await asyncio.gather(*(one(executor, word) for word in words)) == ["a\n", "b\n", "c\n"]
        assert len(sandboxes_alive()) == 3


@pytest.mark.asyncio
async def test_a_sandbox_that_died_is_told(names: Names) -> None:
    async with SandboxCodeExecutor(names.sandboxes) as executor:
        await ran(executor, ("python", "n = 1"))
        (alive,) = sandboxes_alive()
        await Sandbox.delete_by_id_async(alive)
        over = await ran(executor, ("python", "print(n)"))
        assert over.exit_code == 1
        assert over.output.startswith("SandboxTerminatedError: ")
        assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_autogens_own_tool_takes_it(names: Names) -> None:
    async with SandboxCodeExecutor(names.sandboxes) as executor:
        result = await PythonCodeExecutionTool(executor).run_json({"code": "print(1 + 1)"}, CancellationToken())
        assert (result.success, result.output) == (True, "2\n")
