"""Tools, sandboxes and models of the platform as objects of agent frameworks: one module for each framework.

The module of a framework needs the extra of its name; importing this package needs none. What is for tools of any
origin is here, and loaded when it is first used: functions as tools, hooks, selection.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun.integration._function import from_pydantic, tool
    from agentrun.integration._hooks import AuditRecord, Hooks, ToolCall, ToolVetoedError
    from agentrun.integration._outcome import ToolOutcome
    from agentrun.integration._parameter import ToolParameter
    from agentrun.integration._sandboxed import in_sandbox
    from agentrun.integration._select import EmbeddingIndex, ToolIndex, searchable, select, select_async
    from agentrun.integration._session import current_session
    from agentrun.integration._tool import Tool
    from agentrun.integration._toolset import CommonToolSet

__all__ = [
    "AuditRecord",
    "CommonToolSet",
    "EmbeddingIndex",
    "Hooks",
    "Tool",
    "ToolCall",
    "ToolIndex",
    "ToolOutcome",
    "ToolParameter",
    "ToolVetoedError",
    "current_session",
    "from_pydantic",
    "in_sandbox",
    "searchable",
    "select",
    "select_async",
    "tool",
]

_WHERE = {
    "_function": ("from_pydantic", "tool"),
    "_hooks": ("AuditRecord", "Hooks", "ToolCall", "ToolVetoedError"),
    "_outcome": ("ToolOutcome",),
    "_parameter": ("ToolParameter",),
    "_sandboxed": ("in_sandbox",),
    "_select": ("EmbeddingIndex", "ToolIndex", "searchable", "select", "select_async"),
    "_session": ("current_session",),
    "_tool": ("Tool",),
    "_toolset": ("CommonToolSet",),
}


def __getattr__(name: str) -> Any:
    module = next((module for module, names in _WHERE.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
