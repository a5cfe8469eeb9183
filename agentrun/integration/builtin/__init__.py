"""Tools and models of the platform for no framework in particular; the functions of each framework begin here.

A function is imported when it is first used: who wants tools need not load models.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun.integration.builtin.knowledgebase import knowledgebase_toolset
    from agentrun.integration.builtin.model import ModelArgs, model
    from agentrun.integration.builtin.sandbox import sandbox_toolset
    from agentrun.integration.builtin.skill import skill_tools
    from agentrun.integration.builtin.tool_resource import tool_resource
    from agentrun.integration.builtin.toolset import toolset

__all__ = ["ModelArgs", "knowledgebase_toolset", "model", "sandbox_toolset", "skill_tools", "tool_resource", "toolset"]

_WHERE = {
    "ModelArgs": "model",
    "knowledgebase_toolset": "knowledgebase",
    "sandbox_toolset": "sandbox",
    "skill_tools": "skill",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE.get(name, name)}"), name)
    globals()[name] = value  # Also because the submodule may have the name of its function.
    return value
