"""The tools of a tool set."""

from __future__ import annotations

from agentrun.config import Config
from agentrun.integration._toolset import CommonToolSet
from agentrun.toolset import ToolSet


def toolset(input: str | ToolSet, config: Config | None = None) -> CommonToolSet:
    """The tools of a tool set; raises ResourceNotExistError."""
    found = ToolSet.get_by_name(input, config) if isinstance(input, str) else input
    return CommonToolSet.from_agentrun_toolset(found, config)
