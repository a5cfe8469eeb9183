"""What LlamaIndex tells of a run, as events that every protocol of the server understands.

Takes what `stream_events()` of an agent's or a workflow's run yields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentrun.integration._events import Teller
from agentrun.integration._extra import framework
from agentrun.integration._outcome import as_json
from agentrun.server.events import AgentEvent

with framework("llama_index", "llama_index"):
    from llama_index.core.agent.workflow import AgentOutput, AgentStream, ToolCall, ToolCallResult
    from llama_index.core.workflow import Event, InputRequiredEvent


class ToolProgressEvent(Event):
    """How far a call of a tool is, in the stream of a run's events."""

    done: float
    total: float | None = None
    message: str | None = None


class AgentRunConverter(Teller):
    """Turns the events of one run into events of the server; it remembers what it has told, until `reset`."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._said = False  # Whether pieces told the answer that comes next as a whole.

    def convert(self, event: Any) -> Iterator[AgentEvent]:
        """What one event of the framework means."""
        if isinstance(event, AgentStream):
            self._said = self._said or bool(event.delta)
            yield from self.reasoning(event.thinking_delta)
            yield from self.text(event.delta)
        elif isinstance(event, AgentOutput):
            told, self._said = self._said, False
            yield from self.text(None if told else event.response.content)
        elif isinstance(event, ToolCall):
            yield from self.call(event.tool_id, event.tool_name, event.tool_kwargs)
        elif isinstance(event, ToolCallResult):
            yield from self.result(event.tool_id, event.tool_output.content, is_error=event.tool_output.is_error)
        elif isinstance(event, InputRequiredEvent):
            asked = {**event.model_dump(), **dict(event.items())}
            yield from self.question(type(event).__name__, "input", str(asked.pop("prefix", "")), **as_json(asked))
        elif isinstance(event, ToolProgressEvent):
            yield from self.custom("agentrun_tool_progress", event.model_dump())
