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
from langgraph.store.base import BaseStore
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from agentrun.errors import InvalidInputError
from agentrun.server.services import InMemoryStateService, RedisStateService, SqlStateService, StateService
from agentrun.server.services.langgraph import LangGraphSaver
from agentrun.server.services.langgraph_store import LangGraphStore


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


async def test_items_are_kept_and_found(service: StateService) -> None:
    async with service:
        store = LangGraphStore(service)
        await store.aput(("users", "ann"), "tea", {"text": "Ann likes green tea", "cups": 3, "who": {"name": "Ann"}})
        await store.aput(("users", "bob"), "tea", {"text": "Bob likes tea", "cups": 5})
        await store.aput(("users", "bob"), "k" * 500 + "\u4f60", {"text": "other"})
        await store.aput(("docs",), "tea", {"text": "tea"})
        item = await store.aget(("users", "ann"), "tea")
        assert item
        assert (item.key, item.namespace, item.value["cups"]) == ("tea", ("users", "ann"), 3)
        assert await store.aget(("users", "ann"), "none") is None
        assert await store.aget(("nobody",), "tea") is None
        found = await store.asearch(("users",), query="green TEA")
        assert [each.namespace[1] for each in found] == ["ann", "bob"]
        assert found[0].score > found[1].score
        assert [each.value["text"] for each in await store.asearch(("users",), limit=1)] == ["other"]
        assert len(await store.asearch(())) == 4
        assert len(await store.asearch((), limit=2, offset=3)) == 1
        for filter, count in [
            ({"cups": 3}, 1), ({"cups": {"$gte": 3}}, 2), ({"cups": {"$gt": 3, "$lt": 9}}, 1),
            ({"cups": {"$ne": 3}}, 3), ({"who": {"name": "Ann"}}, 1), ({"text": {"$lte": 1}}, 0),
        ]:  # fmt: skip
            assert len(await store.asearch((), filter=filter)) == count, filter
        with pytest.raises(InvalidInputError, match="operator"):
            await store.asearch((), filter={"cups": {"$in": [3]}})


async def test_an_item_is_replaced_and_removed(service: StateService) -> None:
    async with service:
        store = LangGraphStore(service)
        await store.aput(("a",), "k", {"n": 1})
        first = await store.aget(("a",), "k")
        await store.aput(("a",), "k", {"n": 2})
        second = await store.aget(("a",), "k")
        assert first
        assert second
        assert second.value == {"n": 2}
        assert second.created_at == first.created_at < second.updated_at
        await store.adelete(("a",), "k")
        await store.adelete(("a",), "k")
        assert await store.aget(("a",), "k") is None
        assert await store.alist_namespaces() == []


async def test_namespaces_are_listed(service: StateService) -> None:
    async with service:
        store = LangGraphStore(service)
        for namespace in [("a", "b", "c"), ("a", "b", "d"), ("a", "x"), ("z", "b", "c")]:
            await store.aput(namespace, "k", {})
        assert await store.alist_namespaces(prefix=("a",)) == [("a", "b", "c"), ("a", "b", "d"), ("a", "x")]
        assert await store.alist_namespaces(prefix=("*", "b"), suffix=("c",)) == [("a", "b", "c"), ("z", "b", "c")]
        assert await store.alist_namespaces(max_depth=2) == [("a", "b"), ("a", "x"), ("z", "b")]
        assert await store.alist_namespaces(limit=2, offset=1) == [("a", "b", "d"), ("a", "x")]


async def test_a_graph_keeps_in_a_store_what_other_threads_find(service: StateService) -> None:
    async def note(state: MessagesState, *, store: BaseStore) -> dict[str, Any]:
        found = await store.asearch(("notes",), query=str(state["messages"][-1].content))
        await store.aput(("notes",), str(uuid.uuid4()), {"text": state["messages"][-1].content})
        return {"messages": [HumanMessage(f"found {[each.value['text'] for each in found]}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("note", note)
    builder.set_entry_point("note")
    async with service:
        graph = builder.compile(checkpointer=LangGraphSaver(service), store=LangGraphStore(service))
        answers = []
        for thread in ("one", "two"):
            config: Any = {"configurable": {"thread_id": thread}}
            state = await graph.ainvoke({"messages": [("user", "the blue key")]}, config)
            answers.append(state["messages"][-1].content)
    assert answers == ["found []", "found ['the blue key']"]
