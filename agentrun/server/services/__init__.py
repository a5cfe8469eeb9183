"""What an agent keeps between its runs: states, sessions and memories, in its process or in a database."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentrun.server.services.base import Service
from agentrun.server.services.memory import InMemoryMemoryService, MemoryService
from agentrun.server.services.session_history import (
    InMemorySessionHistoryService,
    Session,
    SessionHistoryService,
    SessionPage,
)
from agentrun.server.services.state import InMemoryStateService, StateService

if TYPE_CHECKING:
    from agentrun.server.services.agentscope_v1 import AgentScopeLongTermMemory as AgentScopeLongTermMemory
    from agentrun.server.services.agentscope_v1 import AgentScopeSessionHistoryMemory as AgentScopeSessionHistoryMemory
    from agentrun.server.services.factory import MemoryServiceFactory as MemoryServiceFactory
    from agentrun.server.services.factory import SandboxServiceFactory as SandboxServiceFactory
    from agentrun.server.services.factory import ServiceFactory as ServiceFactory
    from agentrun.server.services.factory import SessionHistoryServiceFactory as SessionHistoryServiceFactory
    from agentrun.server.services.factory import StateServiceFactory as StateServiceFactory
    from agentrun.server.services.langchain import LangChainChatHistory as LangChainChatHistory
    from agentrun.server.services.redis import RedisMemoryService as RedisMemoryService
    from agentrun.server.services.redis import RedisSessionHistoryService as RedisSessionHistoryService
    from agentrun.server.services.redis import RedisStateService as RedisStateService
    from agentrun.server.services.sandbox import SandboxService as SandboxService
    from agentrun.server.services.sql import SqlMemoryService as SqlMemoryService
    from agentrun.server.services.sql import SqlSessionHistoryService as SqlSessionHistoryService
    from agentrun.server.services.sql import SqlStateService as SqlStateService

# What needs a library of an extra, or is slow to load: its module is loaded with the first use of a name.
_LATER = {
    "AgentScopeLongTermMemory": ("agentscope_v1", "", ""),
    "AgentScopeSessionHistoryMemory": ("agentscope_v1", "", ""),
    "LangChainChatHistory": ("langchain", "", ""),
    "MemoryServiceFactory": ("factory", "", ""),
    "RedisMemoryService": ("redis", "redis", "redis"),
    "RedisSessionHistoryService": ("redis", "redis", "redis"),
    "RedisStateService": ("redis", "redis", "redis"),
    "SandboxService": ("sandbox", "", ""),
    "SandboxServiceFactory": ("factory", "", ""),
    "ServiceFactory": ("factory", "", ""),
    "SessionHistoryServiceFactory": ("factory", "", ""),
    "SqlMemoryService": ("sql", "sqlalchemy", "sql"),
    "SqlSessionHistoryService": ("sql", "sqlalchemy", "sql"),
    "SqlStateService": ("sql", "sqlalchemy", "sql"),
    "StateServiceFactory": ("factory", "", ""),
}

__all__ = [
    "AgentScopeLongTermMemory",
    "AgentScopeSessionHistoryMemory",
    "InMemoryMemoryService",
    "InMemorySessionHistoryService",
    "InMemoryStateService",
    "LangChainChatHistory",
    "MemoryService",
    "MemoryServiceFactory",
    "RedisMemoryService",
    "RedisSessionHistoryService",
    "RedisStateService",
    "SandboxService",
    "SandboxServiceFactory",
    "Service",
    "ServiceFactory",
    "Session",
    "SessionHistoryService",
    "SessionHistoryServiceFactory",
    "SessionPage",
    "SqlMemoryService",
    "SqlSessionHistoryService",
    "SqlStateService",
    "StateService",
    "StateServiceFactory",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, library, extra = _LATER[name]
    try:
        loaded = import_module(f"{__name__}.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise ImportError(f"{name} needs {library}: pip install 'agentrun[{extra}]'", name=library) from None
    return getattr(loaded, name)
