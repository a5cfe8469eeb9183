"""Tools and models for LangGraph, which are LangChain's; a thread is a session."""

from __future__ import annotations

from agentrun.integration._extra import framework

with framework("langgraph", "langgraph"):
    import langgraph.graph  # noqa: F401  # To be told of the right extra when it is missing.

from agentrun.integration.langchain import (
    knowledgebase_toolset,
    model,
    sandbox_toolset,
    skill_tools,
    to_model,
    to_tool,
    tool_resource,
    toolset,
)
from agentrun.integration.langgraph_events import AgentRunConverter

__all__ = [
    "AgentRunConverter",
    "knowledgebase_toolset",
    "model",
    "sandbox_toolset",
    "skill_tools",
    "to_model",
    "to_tool",
    "tool_resource",
    "toolset",
]
