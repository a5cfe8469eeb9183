"""The code of smolagents' code agents in our sandboxes, with state, with tools from here, and with its end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import PIL.Image
import pytest
from smolagents import CodeAgent, FinalAnswerTool, LogLevel, tool
from smolagents.utils import AgentError

from agentrun import Sandbox, TemplateType
from agentrun.errors import SandboxTerminatedError
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration.smolagents import AgentRunConverter, model, sandbox_toolset, to_tool, toolset
from agentrun.integration.smolagents_executor import AgentRunExecutor
from agentrun.server.events import EventType
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.weather import CELSIUS
from integrations.smolagents.test_smolagents import PIXEL


@tool
def shout(word: str) -> str:
    """Say a word loudly.

    Args:
        word: The word.
    """
    return word.upper()


class Polite(FinalAnswerTool):
    def forward(self, answer: Any) -> Any:
        return f"{answer}, please"


@pytest.fixture
def executor(names: Names) -> Iterator[AgentRunExecutor]:
    with AgentRunExecutor(names.sandboxes) as made:
        yield made


def coder(names: Names, executor: AgentRunExecutor, *tools: Any, **more: Any) -> CodeAgent:
    llm = model(names.model)
    return CodeAgent(tools=list(tools), model=llm, executor=executor, verbosity_level=LogLevel.OFF, **more)


def test_an_agents_code_runs_in_a_sandbox_and_keeps_its_variables(names: Names) -> None:
    with coder(names, AgentRunExecutor(names.sandboxes)) as agent:
        assert sandboxes_alive() == []
        code = "import os; place = os.getcwd(); square = 7 ** 2 | final_answer([place, square + 1])"
        assert agent.run(f"Code: {code}") == ["/home/user", 50]
        assert len(sandboxes_alive()) == 1
        assert agent.run("Code: final_answer(square + 2)") == 51
        assert len(sandboxes_alive()) == 1
    assert sandboxes_alive() == []


def test_code_calls_tools_that_stay_here_and_tools_that_are_sent(names: Names, executor: AgentRunExecutor) -> None:
    with toolset(names.weather) as weather:
        agent = coder(names, executor, *weather, shout)
        code = 'warm = [get_weather(city)["celsius"] for city in ("Oslo", "Lima")] | final_answer([warm, shout("hi")])'
        assert agent.run(f"Code: {code}") == [[CELSIUS["Oslo"], CELSIUS["Lima"]], "HI"]


def test_what_a_tool_raises_is_raised_in_the_code(names: Names, executor: AgentRunExecutor) -> None:
    code = """
try:
    get_weather(city="Atlantis")
except Exception as error:
    final_answer([type(error).__name__, str(error)])
"""
    with toolset(names.weather) as weather:
        kind, text = coder(names, executor, *weather).run(f"Code: {code}")
    assert kind == "ToolError"
    assert "404" in text


def test_an_error_of_the_code_is_told_and_the_agent_goes_on(names: Names, executor: AgentRunExecutor) -> None:
    converter = AgentRunConverter()
    agent = coder(names, executor, stream_outputs=True)
    events = [
        event
        for step in agent.run("Code: 1 / 0 | print('well') | final_answer('done')", stream=True)
        for event in converter.convert(step)
    ]
    results = [event.data for event in events if event.event == EventType.TOOL_RESULT]
    assert [result.get("is_error", False) for result in results] == [True, False, False]
    assert "ZeroDivisionError" in results[0]["result"]
    assert "well" in results[1]["result"]
    calls = [event.data for event in events if event.event == EventType.TOOL_CALL]
    assert [call["name"] for call in calls] == ["python_interpreter"] * 3
    assert len([event for event in events if event.event == EventType.REASONING]) > 3
    assert [event.data["delta"] for event in events if event.event == EventType.TEXT] == ["done"]


def test_ten_agents_at_once_each_have_a_sandbox_of_their_own(names: Names) -> None:
    def one(word: str, executor: AgentRunExecutor) -> str:
        code = f"open('note.txt', 'w').write('{word}') | final_answer(open('note.txt').read())"
        return str(coder(names, executor).run(f"Code: {code}"))

    with ExitStack() as stack, ThreadPoolExecutor(10) as pool:
        executors = [stack.enter_context(AgentRunExecutor(names.sandboxes)) for _ in CELSIUS]
        assert list(pool.map(one, CELSIUS, executors)) == list(CELSIUS)
        assert len(sandboxes_alive()) == 10


def test_a_final_answer_of_ones_own_is_sent_in_each_run(names: Names, executor: AgentRunExecutor) -> None:
    agent = coder(names, executor, Polite())
    for _ in range(2):
        assert agent.run("Code: final_answer('yes')") == "yes, please"


def test_calls_from_threads_of_the_code_are_answered_each(executor: AgentRunExecutor) -> None:
    async def double(arguments: dict[str, Any]) -> Any:
        return arguments["number"] * 2

    schema = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
    doubling = to_tool(Tool("double", "Double.", schema, perform=double))
    executor.send_tools({"double": doubling})
    code = (
        "from concurrent.futures import ThreadPoolExecutor\nprint(list(ThreadPoolExecutor(8).map(double, range(20))))"
    )
    assert executor(code).logs == f"{[number * 2 for number in range(20)]}\n"
    with pytest.raises(AgentError, match="takes 1 arguments, not 2"):
        executor("double(1, 2)")


def test_pictures_come_and_go(executor: AgentRunExecutor) -> None:
    async def draw(arguments: dict[str, Any]) -> ToolOutcome:
        return ToolOutcome("a dot", images=[Image("image/png", PIXEL)])

    executor.send_tools({"draw": to_tool(Tool("draw", "Draw.", perform=draw))})
    shown = executor("text, picture = draw()\nprint(text, picture.size)\npicture")
    assert shown.logs == "a dot (1, 1)\n"
    assert isinstance(shown.output, PIL.Image.Image)
    assert shown.output.size == (1, 1)


def test_variables_are_sent_and_a_large_answer_comes_back(executor: AgentRunExecutor) -> None:
    executor.send_variables({"point": (1, 2), "names": {"a", "b"}})
    assert executor("print(point, sorted(names))").logs == "(1, 2) ['a', 'b']\n"
    agent_tools: dict[str, Any] = CodeAgent(tools=[], model=None, executor=executor).tools
    executor.send_tools(agent_tools)
    done = executor("final_answer({'long': 'x' * 300_000})")
    assert done.is_final_answer
    assert len(done.output["long"]) == 300_000


def test_code_that_takes_too_long_is_ended(names: Names) -> None:
    with AgentRunExecutor(names.sandboxes, timeout=1) as executor, pytest.raises(AgentError, match="longer than 1 sec"):
        executor("import time; time.sleep(60)")


def test_an_import_that_cannot_be_installed_is_told(names: Names) -> None:
    with (
        AgentRunExecutor(names.sandboxes, ["no/such/package"]) as executor,
        pytest.raises(AgentError, match="could not be installed"),
    ):
        executor("1")


def test_a_sandbox_of_the_caller_stays(names: Names) -> None:
    sandbox = Sandbox.create(TemplateType.CODE_INTERPRETER, names.sandboxes)
    with AgentRunExecutor(sandbox) as executor:
        assert executor("1 + 1").output == "2"
    assert sandboxes_alive() == [sandbox.sandbox_id]
    sandbox.delete()


def test_a_sandbox_that_died_is_a_typed_error_and_is_not_replaced(names: Names, executor: AgentRunExecutor) -> None:
    executor("x = 1")
    executor.sandbox.delete()
    with pytest.raises(SandboxTerminatedError):
        executor("x")
    assert sandboxes_alive() == []


def test_tools_of_a_sandbox_are_called_from_another(names: Names, executor: AgentRunExecutor) -> None:
    with sandbox_toolset(names.sandboxes) as python:
        agent = coder(names, executor, *python)
        code = 'final_answer([run_code(code="x = 6 * 7; print(x)")["stdout"], "x" in globals()])'
        assert agent.run(f"Code: {code}") == ["42\n", False]
        assert len(sandboxes_alive()) == 2
