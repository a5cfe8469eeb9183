"""An agent as an API: what an agent does, as events that every protocol can tell.

Importing this package loads nothing else: a name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun.server.agent_app import AgentApp
    from agentrun.server.agui_normalizer import AguiEventNormalizer
    from agentrun.server.conversations import keep_conversations
    from agentrun.server.events import AgentEvent, EventType, MergeOptions
    from agentrun.server.handlers import (
        AgentEventItem,
        AgentResult,
        AgentResultItem,
        AgentReturnType,
        AsyncAgentEventGenerator,
        AsyncAgentResultGenerator,
        AsyncInvokeAgentHandler,
        InvokeAgentHandler,
        SyncAgentEventGenerator,
        SyncAgentResultGenerator,
        SyncInvokeAgentHandler,
    )
    from agentrun.server.invoker import AgentInvoker
    from agentrun.server.model import (
        A2AProtocolConfig,
        A2ASkill,
        AgentRequest,
        AGUIProtocolConfig,
        MCPProtocolConfig,
        Message,
        MessageRole,
        OpenAIProtocolConfig,
        ProtocolConfig,
        ResponsesProtocolConfig,
        ServerConfig,
        Tool,
        ToolCall,
    )
    from agentrun.server.protocols.a2a.handler import A2AProtocolHandler
    from agentrun.server.protocols.ag_ui import AGUIProtocolHandler
    from agentrun.server.protocols.mcp.handler import MCPProtocolHandler
    from agentrun.server.protocols.openai_chat import OpenAIProtocolHandler
    from agentrun.server.protocols.protocol import BaseProtocolHandler, ProtocolHandler
    from agentrun.server.protocols.responses.handler import ResponsesProtocolHandler
    from agentrun.server.runner import Runner
    from agentrun.server.runs.interrupts import InterruptBackend, LocalInterruptBackend
    from agentrun.server.runs.redis_interrupts import RedisInterruptBackend
    from agentrun.server.runs.sessions import Sessions
    from agentrun.server.runs.tasks import Tasks
    from agentrun.server.server import AgentRunServer

# Where each public name lives.
_NAMES = {
    "agentrun.server.agent_app": "AgentApp",
    "agentrun.server.agui_normalizer": "AguiEventNormalizer",
    "agentrun.server.conversations": "keep_conversations",
    "agentrun.server.events": "AgentEvent EventType MergeOptions",
    "agentrun.server.handlers": """
        AgentEventItem AgentResult AgentResultItem AgentReturnType AsyncAgentEventGenerator AsyncAgentResultGenerator
        AsyncInvokeAgentHandler InvokeAgentHandler SyncAgentEventGenerator SyncAgentResultGenerator
        SyncInvokeAgentHandler
    """,
    "agentrun.server.invoker": "AgentInvoker",
    "agentrun.server.model": """
        A2AProtocolConfig A2ASkill AGUIProtocolConfig AgentRequest MCPProtocolConfig Message MessageRole
        OpenAIProtocolConfig ProtocolConfig ResponsesProtocolConfig ServerConfig Tool ToolCall
    """,
    "agentrun.server.protocols.a2a.handler": "A2AProtocolHandler",
    "agentrun.server.protocols.ag_ui": "AGUIProtocolHandler",
    "agentrun.server.protocols.mcp.handler": "MCPProtocolHandler",
    "agentrun.server.protocols.openai_chat": "OpenAIProtocolHandler",
    "agentrun.server.protocols.protocol": "BaseProtocolHandler ProtocolHandler",
    "agentrun.server.protocols.responses.handler": "ResponsesProtocolHandler",
    "agentrun.server.runner": "Runner",
    "agentrun.server.runs.interrupts": "InterruptBackend LocalInterruptBackend",
    "agentrun.server.runs.redis_interrupts": "RedisInterruptBackend",
    "agentrun.server.runs.sessions": "Sessions",
    "agentrun.server.runs.tasks": "Tasks",
    "agentrun.server.server": "AgentRunServer",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "A2AProtocolConfig",
    "A2AProtocolHandler",
    "A2ASkill",
    "AGUIProtocolConfig",
    "AGUIProtocolHandler",
    "AgentApp",
    "AgentEvent",
    "AgentEventItem",
    "AgentInvoker",
    "AgentRequest",
    "AgentResult",
    "AgentResultItem",
    "AgentReturnType",
    "AgentRunServer",
    "AguiEventNormalizer",
    "AsyncAgentEventGenerator",
    "AsyncAgentResultGenerator",
    "AsyncInvokeAgentHandler",
    "BaseProtocolHandler",
    "EventType",
    "InterruptBackend",
    "InvokeAgentHandler",
    "LocalInterruptBackend",
    "MCPProtocolConfig",
    "MCPProtocolHandler",
    "MergeOptions",
    "Message",
    "MessageRole",
    "OpenAIProtocolConfig",
    "OpenAIProtocolHandler",
    "ProtocolConfig",
    "ProtocolHandler",
    "RedisInterruptBackend",
    "ResponsesProtocolConfig",
    "ResponsesProtocolHandler",
    "Runner",
    "ServerConfig",
    "Sessions",
    "SyncAgentEventGenerator",
    "SyncAgentResultGenerator",
    "SyncInvokeAgentHandler",
    "Tasks",
    "Tool",
    "ToolCall",
    "keep_conversations",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # The next use does not come here again.
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
