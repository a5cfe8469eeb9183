"""Graphs of LangGraph with the platform's tools, sandboxes and models."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from agentrun._core.progress import report_progress
from agentrun.integration._tool import Tool
from agentrun.integration.langgraph import AgentRunConverter, model, sandbox_toolset, to_tool
from agentrun.server import AgentEvent, EventType
from integrations.langgraph.agent import answer, graph
from integrations.scenario.platform import Names, sandboxes_alive
from integrations.scenario.weather import fahrenheit_squared

THREAD: Any = {"configurable": {"thread_id": "one"}}


def asked(text: str) -> dict[str, Any]:
    return {"messages": [("user", text)]}


def converted(raw: Iterable[Any]) -> list[AgentEvent]:
    converter = AgentRunConverter()
    return [event for each in raw for event in converter.convert(each)]


def told(events: Iterable[AgentEvent], kind: EventType, field: str) -> list[Any]:
    return [event.data[field] for event in events if event.event == kind and field in event.data]


def test_the_example_calls_three_tools(names: Names) -> None:
    assert asyncio.run(answer("How warm is it in Lima?", names)) == fahrenheit_squared("Lima")


def test_ten_threads_at_once_have_a_sandbox_each(names: Names) -> None:
    async def noted() -> list[str]:
        async with sandbox_toolset(names.sandboxes) as python:
            tools: list[BaseTool] = list(python)
            agent = graph(model(names.model).bind_tools(tools), tools)
            runs = [
                agent.ainvoke(asked(f"Note number{i}"), config={"configurable": {"thread_id": f"thread-{i}"}})
                for i in range(10)
            ]
            states = await asyncio.gather(*runs)
            assert len(sandboxes_alive()) == 10
            await python.close_session_async("thread-3")
            assert len(sandboxes_alive()) == 9
            return [state["messages"][-1].text for state in states]

    assert asyncio.run(noted()) == [f"The note says number{i}." for i in range(10)]


@pytest.mark.parametrize(
    "modes", [["updates"], ["values"], ["messages"], ["updates", "messages"], ["updates", "values", "messages"]]
)
def test_every_mode_tells_the_same(names: Names, modes: list[str]) -> None:
    async def events() -> list[AgentEvent]:
        async with sandbox_toolset(names.sandboxes) as python:
            tools: list[BaseTool] = list(python)
            agent = graph(model(names.model).bind_tools(tools), tools)
            mode: Any = modes if len(modes) > 1 else modes[0]
            await agent.ainvoke(asked("Hello"), config=THREAD)  # What was said before is not told again.
            return converted([raw async for raw in agent.astream(asked("Note X"), config=THREAD, stream_mode=mode)])

    found = asyncio.run(events())
    assert "".join(told(found, EventType.TEXT, "delta")) == "The note says X."
    called = told(found, EventType.TOOL_CALL, "name") + told(found, EventType.TOOL_CALL_CHUNK, "name")
    assert called == ["write_file", "read_file"]
    assert len(set(told(found, EventType.TOOL_RESULT, "id"))) == 2


def test_progress_of_a_tool_is_a_custom_event() -> None:
    async def slow(arguments: dict[str, Any]) -> str:
        report_progress(1, 2, "half")
        return "77 degrees"

    tool = to_tool(Tool("get_weather", "Tell how warm it is.", perform=slow))

    async def events() -> list[AgentEvent]:
        state = MessagesState(
            messages=[AIMessage("", tool_calls=[{"id": "1", "name": "get_weather", "args": {}, "type": "tool_call"}])]
        )
        builder = StateGraph(MessagesState)
        builder.add_node("tools", ToolNode([tool]))
        builder.set_entry_point("tools")
        stream = builder.compile().astream(state, stream_mode=["custom", "updates"])
        return converted([raw async for raw in stream])

    found = asyncio.run(events())
    assert told(found, EventType.CUSTOM, "value") == [{"progress": 1, "total": 2, "message": "half"}]
    assert told(found, EventType.TOOL_RESULT, "result") == ["77 degrees"]


def test_an_interrupt_is_a_question() -> None:
    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"You said {interrupt({'prompt': 'May I?'})}.")]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.set_entry_point("ask")
    agent = builder.compile(checkpointer=InMemorySaver())
    found = converted(agent.stream(MessagesState(messages=[HumanMessage("Hi")]), config=THREAD, stream_mode="updates"))
    assert told(found, EventType.HITL, "prompt") == ["May I?"]
    again = converted(agent.stream(Command(resume="yes"), config=THREAD, stream_mode="updates"))
    assert told(again, EventType.TEXT, "delta") == ["You said yes."]


def test_an_error_is_told_as_one() -> None:
    message = ToolMessage("no such city", tool_call_id="1", status="error")
    (event,) = converted([{"tools": {"messages": [message]}}])
    assert event.data == {"id": "1", "result": "no such city", "is_error": True}
