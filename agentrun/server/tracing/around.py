"""A span around each run of an agent, below the one that its request names."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.routing import BaseRoute

from agentrun._core.tracing import Scope, current_scope
from agentrun._serving.spans import TracingError, is_exporting, loaded
from agentrun.errors import ConfigError
from agentrun.server.events import AgentEvent
from agentrun.server.model import AgentRequest, ServerConfig
from agentrun.server.tracing.place import trace_file
from agentrun.server.tracing.routes import TraceRoutes
from agentrun.server.tracing.store import TraceStore

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_log = logging.getLogger("agentrun.server")
# What the variable is set to where contents are to be in spans.
_IN_SPANS = frozenset({"true", "1", "span_only", "span_and_event"})


class Tracing:
    """Traces the runs of an agent where a provider of spans was set up, and else leaves them alone.

    `start` sets one up where the environment or the configuration asks for it. Another than that of the process may
    be given as `provider`.
    """

    def __init__(self, agent_name: str, config: ServerConfig, provider: TracerProvider | None = None) -> None:
        self.agent_name = agent_name
        self._scope = Scope(provider.get_tracer("agentrun")) if provider else None
        self._content = _is_content_wanted(config)
        self._file = trace_file(config.traces)
        self._provider: Any = None
        self._asks_for_keys = bool(config.api_keys)

    def around(
        self, request: AgentRequest, events: AsyncGenerator[AgentEvent, None]
    ) -> AsyncGenerator[AgentEvent, None]:
        """Trace a run."""
        scope = self._scope or current_scope()
        if scope is None:
            return events
        traced: Any = import_module("agentrun.server.tracing.run").traced
        result: AsyncGenerator[AgentEvent, None] = traced(scope.tracer, self.agent_name, request, events, self._content)
        return result

    def routes(self) -> Sequence[BaseRoute]:
        """What shows the traces that are kept; none where none are."""
        if self._file is None:
            return []
        return TraceRoutes(TraceStore(self._file), asks_for_keys=self._asks_for_keys).routes()

    async def start(self) -> None:
        """Set up a provider where one is wanted. Raises ConfigError when traces are to be kept, and cannot be."""
        if self._file is None and not is_exporting():
            return
        try:
            self._provider = loaded("agentrun.server.tracing.provider")
            await to_thread.run_sync(self._provider.set_up, self.agent_name, self._file)
        except TracingError as error:
            if self._file:
                raise ConfigError(str(error), hint="Install it, or do not ask for traces") from error
            _log.warning("Spans are not sent: %s", error)

    async def stop(self) -> None:
        """Hand over what was traced so far."""
        if self._provider is not None:
            await to_thread.run_sync(self._provider.flush)


def _is_content_wanted(config: ServerConfig) -> bool:
    if config.trace_content is not None:
        return config.trace_content
    return os.environ.get(CONTENT, "").strip().lower() in _IN_SPANS
