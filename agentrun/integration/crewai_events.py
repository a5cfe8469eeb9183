"""What CrewAI tells of a run, as events that every protocol of the server understands.

Takes what the event bus hands to its listeners, the frames of a flow's `stream_events` and `astream`, and the chunks of
a crew that streams, which tell nothing of the results of tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentrun.integration._events import Teller, event
from agentrun.integration._extra import framework
from agentrun.integration._outcome import as_json
from agentrun.server.events import AgentEvent, EventType

with framework("crewai", "crewai"):
    from crewai.types.streaming import StreamChunk, StreamFrame

_FAILED = ("crew_kickoff_failed", "flow_failed", "llm_call_failed")
_STEPS = ("task_started", "task_completed", "agent_execution_started", "method_execution_started")


class AgentRunConverter(Teller):
    """Turns the events of one run into events of the server; it remembers what it has told, until `reset`."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._open: list[tuple[str, str]] = []  # The ids and names of calls without a result, in order.
        self._streamed: set[str] = set()  # The calls of the model whose answers came by pieces.

    def convert(self, event: Any) -> Iterator[AgentEvent]:
        """What one event, frame or chunk of CrewAI means."""
        if isinstance(event, StreamChunk):
            yield from self._of_chunk(event)
        elif isinstance(event, StreamFrame):
            yield from self._told(event.type, event.id, event.data)
        elif isinstance(getattr(event, "type", None), str):
            yield from self._told(event.type, event.event_id, event)

    def _told(self, kind: str, event_id: str, source: Any) -> Iterator[AgentEvent]:
        if kind == "llm_stream_chunk":
            self._streamed.add(str(_field(source, "call_id")))
            yield from self._piece(_field(source, "tool_call"), _field(source, "chunk"))
        elif kind == "llm_thinking_chunk":
            yield from self.reasoning(_field(source, "chunk"))
        elif kind == "llm_call_completed" and isinstance(_field(source, "response"), str):
            told = str(_field(source, "call_id")) in self._streamed
            yield from self.text(None if told else _field(source, "response"))
        elif kind == "tool_usage_started":
            yield from self._begun(event_id, source)
        elif kind in ("tool_usage_finished", "tool_usage_error"):
            yield from self._ended(event_id, source)
        elif kind == "human_feedback_requested":
            request = str(_field(source, "request_id") or event_id)
            shown = as_json(_field(source, "output"))
            yield from self.question(request, "human_feedback", str(_field(source, "message")), output=shown)
        elif kind in _FAILED:
            yield _error(kind, source)
        elif kind in _STEPS:
            names = ("task_name", "agent_role", "method_name")
            yield from self.custom(kind, {name: value for name in names if (value := _field(source, name))})

    def _of_chunk(self, chunk: StreamChunk) -> Iterator[AgentEvent]:
        if chunk.tool_call is None:
            yield from self.text(chunk.content)
        else:
            call = chunk.tool_call
            yield from self._call(call.tool_id, call.tool_name, chunk.content)

    def _piece(self, call: Any, piece: str | None) -> Iterator[AgentEvent]:
        if call is None:
            yield from self.text(piece)
        else:
            yield from self._call(_field(call, "id"), _field(_field(call, "function"), "name"), piece)

    def _call(self, call_id: str | None, name: str | None, piece: str | None) -> Iterator[AgentEvent]:
        if call_id and call_id not in self._called:
            self._open.append((call_id, name or ""))
        if call_id:
            yield from self.call_piece(call_id, name or "", piece or "")

    def _begun(self, event_id: str, source: Any) -> Iterator[AgentEvent]:
        """A tool that runs; unless the model streams, nothing has told of the call before."""
        name = str(_field(source, "tool_name"))
        if not any(opened == name for _, opened in self._open):
            self._open.append((event_id, name))
            yield from self.call(event_id, name, _field(source, "tool_args"))

    def _ended(self, event_id: str, source: Any) -> Iterator[AgentEvent]:
        # CrewAI tells a result without the id of its call; the calls of one tool end in their order.
        name = str(_field(source, "tool_name"))
        found = next((opened for opened in self._open if opened[1] == name), (event_id, name))
        if found in self._open:
            self._open.remove(found)
        error = _field(source, "error")
        failed = error is not None or _field(source, "failure") is not None
        result = _field(source, "output") if error is None else str(error)
        yield from self.result(found[0], result, is_error=failed)


def _error(kind: str, source: Any) -> AgentEvent:
    return event(EventType.ERROR, message=str(_field(source, "error")), code=kind)


def _field(source: Any, name: str) -> Any:
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
