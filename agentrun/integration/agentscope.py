"""Tools and models for AgentScope, of the 1.0 line and of 2.

For 1.0 a tool is a function: `toolkit.register_tool_function(tool)`. For 2 it is a tool object: `Toolkit(tools=[...])`.
For 1.0 there are memories too: `AgentScopeSessionHistoryMemory` and `AgentScopeLongTermMemory`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from agentrun.integration._extra import framework
from agentrun.integration._framework import Framework

with framework("agentscope", "agentscope"):
    from agentscope import __version__

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

# The two lines share their names and little else, so that each has its file; type checkers see one of them at a time.
_line: Any = import_module(f"{__name__}_v{1 if __version__.startswith('1.') else 2}")
AgentRunConverter = _line.AgentRunConverter
to_tool = _line.to_tool
to_model = _line.to_model

_agentscope: Framework[Any, Any] = Framework(to_tool, to_model)
model = _agentscope.model
toolset = _agentscope.toolset
tool_resource = _agentscope.tool_resource
sandbox_toolset = _agentscope.sandbox_toolset
knowledgebase_toolset = _agentscope.knowledgebase_toolset
skill_tools = _agentscope.skill_tools


def __getattr__(name: str) -> Any:
    """The memories, which are loaded when they are used."""
    if name not in ("AgentScopeLongTermMemory", "AgentScopeSessionHistoryMemory"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("agentrun.server.services.agentscope_v1"), name)
