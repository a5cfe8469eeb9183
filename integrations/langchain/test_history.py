"""Chats of LangChain that a service keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables.history import RunnableWithMessageHistory

from agentrun.integration.langchain import model
from agentrun.server.services import (
    InMemorySessionHistoryService,
    LangChainChatHistory,
    SessionHistoryService,
    SqlSessionHistoryService,
)
from integrations.scenario.platform import Names

SAID: list[Any] = [
    HumanMessage([{"type": "text", "text": "one"}], id="m1", additional_kwargs={"mood": "good"}),
    AIMessage("two", tool_calls=[{"id": "c1", "name": "look_up", "args": {"word": "ada"}, "type": "tool_call"}]),
    ToolMessage("three", tool_call_id="c1", status="error", artifact=None),
]


@pytest.fixture(params=["memory", "sql"])
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SessionHistoryService]:
    made: SessionHistoryService
    if request.param == "memory":
        made = InMemorySessionHistoryService()
    else:
        made = SqlSessionHistoryService(f"sqlite:///{tmp_path / 'history.db'}")
    async with made:
        yield made


async def test_messages_come_back_as_they_were(service: SessionHistoryService) -> None:
    history = LangChainChatHistory(service, "ada", "s1")
    await history.aadd_messages(SAID)
    assert await LangChainChatHistory(service, "ada", "s1").aget_messages() == SAID
    assert await LangChainChatHistory(service, "bob", "s1").aget_messages() == []
    await history.aclear()
    assert await history.aget_messages() == []


async def test_programs_that_do_not_await_have_the_same(service: SessionHistoryService) -> None:
    history = LangChainChatHistory(service, "ada", "s1")

    def blocking() -> list[Any]:
        history.add_messages(SAID[:2])
        history.add_message(SAID[2])
        found = history.messages
        history.clear()
        return [found, history.messages]

    assert await asyncio.to_thread(blocking) == [SAID, []]


async def test_others_in_the_session_read_and_are_read(service: SessionHistoryService) -> None:
    await LangChainChatHistory(service, "ada", "s1").aadd_messages(SAID[:1])
    session = await service.get_session("ada", "s1")
    assert session.messages[0]["role"] == "user"
    await service.append_message(session, {"role": "assistant", "content": "by another framework"})
    _, other = await LangChainChatHistory(service, "ada", "s1").aget_messages()
    assert other == AIMessage("by another framework")


async def test_a_chain_goes_on_with_its_session(names: Names, service: SessionHistoryService) -> None:
    def history(session_id: str) -> LangChainChatHistory:
        return LangChainChatHistory(service, "ada", session_id)

    chain = RunnableWithMessageHistory(model(names.model), history)
    config: Any = {"configurable": {"session_id": "s1"}}
    await chain.ainvoke([HumanMessage("Hello")], config=config)
    told = await chain.ainvoke([HumanMessage("Recall")], config=config)
    assert told.text == "I recall: user=Hello, assistant=Hello, this is a model with a script."
