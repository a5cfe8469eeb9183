"""Puts the events of an agent in order: what has pieces comes in pieces, and no result without its call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentrun.server.events import AgentEvent, EventType

_CALLS = (EventType.TOOL_CALL, EventType.TOOL_CALL_CHUNK)
_RESULTS = (EventType.TOOL_RESULT, EventType.TOOL_RESULT_CHUNK)


class AguiEventNormalizer:
    """Takes what an agent gives, and gives events that a protocol of pieces can tell one after the other.

    The servers here do this themselves; it is for programs that write a protocol of their own.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin another run."""
        self._seen: dict[str, bool] = {}  # Ids of calls, and whether their results are still to come.

    def get_active_tool_calls(self) -> list[str]:
        """The ids of calls without a result."""
        return [call_id for call_id, is_active in self._seen.items() if is_active]

    def get_seen_tool_calls(self) -> list[str]:
        """The ids of all calls, in the order in which they began."""
        return list(self._seen)

    def normalize(self, event: AgentEvent | str | Mapping[str, Any]) -> Iterator[AgentEvent]:
        """The events that an event, a text or the fields of an event come to; raises ValidationError for others."""
        if isinstance(event, str):
            if event:
                yield AgentEvent(event=EventType.TEXT, data={"delta": event})
            return
        told = event if isinstance(event, AgentEvent) else AgentEvent.model_validate(event)
        call_id = str(told.data.get("id") or "")
        if told.event in _CALLS:
            yield self._call(told, call_id)
        elif told.event in _RESULTS:
            yield from self._result(told, call_id)
        else:
            yield told

    def _call(self, event: AgentEvent, call_id: str) -> AgentEvent:
        self._seen.setdefault(call_id, True)
        if event.event == EventType.TOOL_CALL_CHUNK:
            return event
        pieces = {"id": call_id, "name": event.data.get("name"), "args_delta": event.data.get("args") or ""}
        return event.model_copy(update={"event": EventType.TOOL_CALL_CHUNK, "data": pieces})

    def _result(self, event: AgentEvent, call_id: str) -> Iterator[AgentEvent]:
        if call_id not in self._seen:
            name = event.data.get("name") or "unknown"
            yield AgentEvent(event=EventType.TOOL_CALL_CHUNK, data={"id": call_id, "name": name, "args_delta": ""})
        self._seen[call_id] = event.event != EventType.TOOL_RESULT
        yield event
