"""The names of the official client for what belongs to no framework."""

from __future__ import annotations

from agentrun.integration._model import CommonModel
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet

__all__ = ["CommonModel", "CommonToolSet", "Tool"]
