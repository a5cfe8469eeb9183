"""A graph of LangGraph whose tools work in a sandbox of the platform, with an API and an MCP server beside it.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.langgraph.agent
"""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AnyMessage, BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from agentrun.integration.langgraph import model, sandbox_toolset, tool_resource, toolset
from integrations.scenario.platform import Names, platform


def graph(llm: Runnable[LanguageModelInput, BaseMessage], tools: list[BaseTool]) -> Any:
    """The model and its tools, in turns."""

    async def ask(state: MessagesState) -> dict[str, list[AnyMessage | BaseMessage]]:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", ask)
    builder.add_node("tools", ToolNode(tools))
    builder.set_entry_point("model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile(checkpointer=InMemorySaver())


async def answer(question: str, names: Names, thread: str = "main") -> str:
    """What the agent finds out."""
    async with (
        toolset(names.weather) as weather,
        tool_resource(names.units) as units,
        sandbox_toolset(names.sandboxes) as python,
    ):
        tools: list[BaseTool] = [*weather, *units, *python]
        agent = graph(model(names.model).bind_tools(tools), tools)
        state = await agent.ainvoke({"messages": [("user", question)]}, config={"configurable": {"thread_id": thread}})
        return str(state["messages"][-1].text)


if __name__ == "__main__":
    import asyncio

    with platform() as names:
        print(asyncio.run(answer("How warm is it in Hangzhou, in Fahrenheit and squared?", names)))
