"""What may be served as an agent, and what it may answer, as types."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeAlias, runtime_checkable

from agentrun.server.events import AgentEvent
from agentrun.server.model import AgentRequest, Message

AgentEventItem: TypeAlias = str | AgentEvent
AgentResultItem: TypeAlias = AgentEventItem
# Messages and results of frameworks are taken as they are; agentrun.server.conversion knows which.
AgentResult: TypeAlias = Any
SyncAgentEventGenerator: TypeAlias = Iterator[AgentEventItem]
SyncAgentResultGenerator: TypeAlias = SyncAgentEventGenerator
AsyncAgentEventGenerator: TypeAlias = AsyncIterator[AgentEventItem]
AsyncAgentResultGenerator: TypeAlias = AsyncAgentEventGenerator
AgentReturnType: TypeAlias = AgentResult | SyncAgentEventGenerator | AsyncAgentEventGenerator
SyncInvokeAgentHandler: TypeAlias = Callable[[AgentRequest], AgentReturnType]
AsyncInvokeAgentHandler: TypeAlias = Callable[[AgentRequest], Awaitable[AgentReturnType]]


@runtime_checkable
class RunnerLike(Protocol):
    """An object that answers with its method `query_handler`.

    Its `init_handler` and `shutdown_handler`, where it has them, are called before the first request and in the end.
    """

    def query_handler(self, msgs: list[Message], request: AgentRequest, /) -> AgentReturnType:
        """Answer messages."""
        ...


InvokeAgentHandler: TypeAlias = SyncInvokeAgentHandler | AsyncInvokeAgentHandler | RunnerLike
