"""An agent as an API: what an agent does, as events that every protocol can tell."""

from __future__ import annotations

from agentrun.server.events import AgentEvent, EventType, MergeOptions

__all__ = ["AgentEvent", "EventType", "MergeOptions"]
