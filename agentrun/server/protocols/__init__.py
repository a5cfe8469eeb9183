"""The protocols, each in a file of its own: requests become questions to an agent, and its events answers."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from agentrun.server.model import ServerConfig
from agentrun.server.protocols.protocol import ProtocolHandler

# By the name of its configuration: the module of each protocol below this package, and its handler.
_HANDLERS = {
    "agent_api": ("agent_api.handler", "AgentAPIProtocolHandler"),
    "openai": ("openai_chat", "OpenAIProtocolHandler"),
    "responses": ("responses.handler", "ResponsesProtocolHandler"),
    "agui": ("ag_ui", "AGUIProtocolHandler"),
    "a2a": ("a2a.handler", "A2AProtocolHandler"),
    "mcp": ("mcp.handler", "MCPProtocolHandler"),
}


def every(config: ServerConfig) -> list[ProtocolHandler]:
    """A handler for each protocol that a configuration does not switch off."""
    made: list[ProtocolHandler] = []
    for name, (module, handler) in _HANDLERS.items():
        settings = getattr(config, name)
        if settings is None or settings.enable:
            make: Callable[[ServerConfig], ProtocolHandler] = getattr(import_module(f"{__name__}.{module}"), handler)
            made.append(make(config))
    return made
