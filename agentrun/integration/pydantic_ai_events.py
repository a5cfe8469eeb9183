"""What PydanticAI tells of a run, as events that every protocol of the server understands.

Takes what `run_stream_events` yields and what an `event_stream_handler` is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from agentrun.integration._events import Teller
from agentrun.integration._extra import framework
from agentrun.integration._outcome import as_text
from agentrun.server.events import AgentEvent

with framework("pydantic_ai", "pydantic_ai"):
    from pydantic_ai.messages import (
        CustomEvent,
        DeferredToolRequestsEvent,
        PartDeltaEvent,
        PartStartEvent,
        TextPart,
        TextPartDelta,
        ThinkingPart,
        ThinkingPartDelta,
        ToolCallEvent,
        ToolCallPart,
        ToolCallPartDelta,
        ToolResultEvent,
    )


class AgentRunConverter(Teller):
    """Turns the events of one run into events of the server; it remembers what it has told, until `reset`."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._open: dict[int, tuple[str, str]] = {}  # The id and name of the call at a place of the answer.

    def convert(self, event: Any) -> Iterator[AgentEvent]:
        """What one event of the framework means."""
        if isinstance(event, PartStartEvent):
            yield from self._begun(event.index, event.part)
        elif isinstance(event, PartDeltaEvent):
            yield from self._continued(event.index, event.delta)
        elif isinstance(event, ToolCallEvent):
            part = event.part
            yield from self.call(part.tool_call_id, part.tool_name, part.args_as_json_str())
        elif isinstance(event, ToolResultEvent):
            failed = event.part.outcome in ("failed", "retried", "denied")
            yield from self.result(event.tool_call_id, event.part.model_response_str(), is_error=failed)
        elif isinstance(event, DeferredToolRequestsEvent):
            for call in event.requests.approvals:
                asked = {"name": call.tool_name, "args": call.args_as_json_str()}
                yield from self.question(
                    call.tool_call_id, "tool_approval", f"May {call.tool_name} be called?", **asked
                )
        elif isinstance(event, CustomEvent):
            yield from self.custom(event.name, dataclasses.asdict(event))

    def _begun(self, index: int, part: Any) -> Iterator[AgentEvent]:
        if isinstance(part, TextPart):
            yield from self.text(part.content)
        elif isinstance(part, ThinkingPart):
            yield from self.reasoning(part.content)
        elif isinstance(part, ToolCallPart):
            self._open[index] = (part.tool_call_id, part.tool_name)
            yield from self.call_piece(*self._open[index], as_text(part.args or ""))

    def _continued(self, index: int, delta: Any) -> Iterator[AgentEvent]:
        if isinstance(delta, TextPartDelta):
            yield from self.text(delta.content_delta)
        elif isinstance(delta, ThinkingPartDelta):
            yield from self.reasoning(delta.content_delta)
        elif isinstance(delta, ToolCallPartDelta) and index in self._open:
            yield from self.call_piece(*self._open[index], as_text(delta.args_delta or ""))
