"""What a bridge is told, and where it is asked."""

from __future__ import annotations

from dataclasses import dataclass

PLAN = "AGENTRUN_BRIDGE_PLAN"
"""The variable with the plan as JSON: `command` starts a server, `rules` are those of `Rules`."""
STREAMABLE, SSE, MESSAGES, STATE = "/mcp", "/sse", "/messages", "/_bridge"


@dataclass(frozen=True)
class Rules:
    """How long sessions may last, in seconds, and how many there may be."""

    idle: float = 1800.0
    life: float = 21600.0
    most: int = 64
