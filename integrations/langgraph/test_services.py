"""Threads of LangGraph in the services: LangGraph's own tests of checkpointers, and a graph that goes on."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
import uuid
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES
from langgraph.graph import MessagesState, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from agentrun.errors import InvalidInputError
from agentrun.server.services import InMemoryStateService, RedisStateService, SqlStateService, StateService
from agentrun.server.services.langgraph import LangGraphSaver


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server; run: sudo apt-get install redis-server")
    path = Path("/tmp", f"redis-{uuid.uuid4().hex}")
    command = [program, "--port", "0", "--unixsocket", str(path), "--save", ""]
    with subprocess.Popen(command, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < deadline, "redis-server does not begin"
            time.sleep(0.02)
        yield f"unix://{path}"
        server.terminate()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> StateService:
    if request.param == "memory":
        return InMemoryStateService()
    if request.param == "sqlite":
        return SqlStateService(f"sqlite:///{tmp_path}/agent.db")
    return RedisStateService(request.getfixturevalue("redis_url"), prefix=uuid.uuid4().hex)


async def test_langgraphs_own_tests_pass(service: StateService) -> None:
    async def saver() -> AsyncGenerator[LangGraphSaver]:
        async with service:
            yield LangGraphSaver(service)

    report = await validate(checkpointer_test(name="agentrun")(saver))
    assert [failure for result in report.results.values() for failure in result.failures] == []
    assert {name for name, result in report.results.items() if result.passed} == {
        each.value for each in ALL_CAPABILITIES
    }
    assert sum(result.tests_passed for result in report.results.values()) >= 75


def counting(saver: LangGraphSaver) -> Any:
    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [HumanMessage(f"{len(state['messages'])} {interrupt('May I?')}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.set_entry_point("ask")
    return builder.compile(checkpointer=saver)


def test_a_graph_goes_on_without_an_event_loop(service: StateService) -> None:
    config: Any = {"configurable": {"thread_id": "one"}}
    asyncio.run(service.start())
    found = counting(LangGraphSaver(service)).invoke({"messages": [("user", "Hi")]}, config)
    assert found["__interrupt__"][0].value == "May I?"
    # Another saver, another graph: nothing is left but what the service keeps.
    graph = counting(LangGraphSaver(service))
    found = graph.invoke(Command(resume="yes"), config)
    assert [message.content for message in found["messages"]] == ["Hi", "1 yes"]
    history = list(graph.get_state_history(config))
    assert [len(state.values.get("messages", [])) for state in history] == [2, 1, 0]
    assert len(list(graph.get_state_history(config, limit=1))) == 1
    LangGraphSaver(service).delete_thread("one")
    assert list(graph.get_state_history(config)) == []
    asyncio.run(service.stop())


async def test_a_hundred_threads_at_once_stay_apart(service: StateService) -> None:
    def say(state: MessagesState) -> dict[str, Any]:
        return {"messages": [HumanMessage(f"to {state['messages'][0].content}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("say", say)
    builder.set_entry_point("say")
    async with service:
        graph = builder.compile(checkpointer=LangGraphSaver(service))
        configs: list[Any] = [{"configurable": {"thread_id": str(n)}} for n in range(100)]
        await asyncio.gather(
            *[graph.ainvoke({"messages": [("user", str(n))]}, config) for n, config in enumerate(configs)]
        )
        for n, config in enumerate(configs):
            state = await graph.aget_state(config)
            assert [message.content for message in state.values["messages"]] == [str(n), f"to {n}"]


async def test_what_is_told_in_steps_survives_pruning(service: StateService) -> None:
    delta = pytest.importorskip("langgraph.channels.delta", reason="this LangGraph has no channels told in steps")

    def joined(state: list[str], writes: list[list[str]]) -> list[str]:
        return state + [text for write in writes for text in write]

    State = TypedDict("State", {"said": Annotated[list, delta.DeltaChannel(joined)]})  # noqa: UP013 -- its annotation is a local name.
    builder = StateGraph(State)
    builder.add_node("say", lambda state: {"said": [str(len(state["said"]))]})
    builder.set_entry_point("say")
    config: Any = {"configurable": {"thread_id": "one"}}
    async with service:
        saver = LangGraphSaver(service)
        graph = builder.compile(checkpointer=saver)
        for _ in range(5):
            before = (await graph.ainvoke({"said": ["in"]}, config))["said"]
        assert len(before) == 10
        await saver.aprune(["one"])
        assert (await graph.aget_state(config)).values["said"] == before
        with pytest.raises(InvalidInputError, match="strategy"):
            saver.prune(["one"], strategy="keep_all")
