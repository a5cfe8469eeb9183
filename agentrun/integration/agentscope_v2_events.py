"""What an agent of AgentScope 2 tells of a reply, as events that every protocol of the server understands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from agentrun.integration._events import Teller
from agentrun.integration._extra import framework
from agentrun.server.events import AgentEvent
from agentrun.server.events import EventType as Kind

with framework("agentscope", "agentscope"):
    from agentscope.event import EventType
    from agentscope.message import ToolResultState


class AgentRunConverter(Teller):
    """Turns the events of `reply_stream` into events of the server; it remembers what it has told, until `reset`."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._names: dict[str, str] = {}  # Of the tools, by the ids of their calls.
        self._outputs: dict[str, str] = {}

    def convert(self, event: Any) -> Iterator[AgentEvent]:
        """What one event of AgentScope means."""
        found = _MEANINGS.get(getattr(event, "type", ""))  # The last of a stream may be the message itself.
        if found is not None:
            yield from found(self, event)

    def _of_text(self, event: Any) -> Iterator[AgentEvent]:
        yield from self.text(event.delta)

    def _of_thinking(self, event: Any) -> Iterator[AgentEvent]:
        yield from self.reasoning(event.delta)

    def _of_call_start(self, event: Any) -> Iterator[AgentEvent]:
        self._names[event.tool_call_id] = event.tool_call_name
        yield from self.call_piece(event.tool_call_id, event.tool_call_name, "")

    def _of_call_delta(self, event: Any) -> Iterator[AgentEvent]:
        yield from self.call_piece(event.tool_call_id, self._names.get(event.tool_call_id, ""), event.delta)

    def _of_output(self, event: Any) -> Iterator[AgentEvent]:
        self._heard(event.tool_call_id, event.delta)
        yield from ()

    def _of_data(self, event: Any) -> Iterator[AgentEvent]:
        self._heard(event.tool_call_id, f"[{event.media_type}]")
        yield from ()

    def _of_result(self, event: Any) -> Iterator[AgentEvent]:
        output = self._outputs.pop(event.tool_call_id, "")
        yield from self.result(event.tool_call_id, output, is_error=event.state != ToolResultState.SUCCESS)

    def _of_confirmation(self, event: Any) -> Iterator[AgentEvent]:
        for call in event.tool_calls:
            prompt = f"May {call.name} be called?"
            yield from self.question(call.id, "tool_approval", prompt, name=call.name, args=call.input)

    def _of_external(self, event: Any) -> Iterator[AgentEvent]:
        for call in event.tool_calls:
            prompt = f"What is the result of {call.name}?"
            yield from self.question(call.id, "external_execution", prompt, name=call.name, args=call.input)

    def _of_end(self, event: Any) -> Iterator[AgentEvent]:
        if event.error is not None:
            told = {"message": event.error.message, "code": event.error.type}
            yield AgentEvent(event=Kind.ERROR, data=told)

    def _of_custom(self, event: Any) -> Iterator[AgentEvent]:
        yield from self.custom(event.name, event.value)

    def _heard(self, call_id: str, piece: str) -> None:
        self._outputs[call_id] = self._outputs.get(call_id, "") + piece


_MEANINGS: dict[str, Callable[[AgentRunConverter, Any], Iterator[AgentEvent]]] = {
    EventType.TEXT_BLOCK_DELTA: AgentRunConverter._of_text,
    EventType.THINKING_BLOCK_DELTA: AgentRunConverter._of_thinking,
    EventType.TOOL_CALL_START: AgentRunConverter._of_call_start,
    EventType.TOOL_CALL_DELTA: AgentRunConverter._of_call_delta,
    EventType.TOOL_RESULT_TEXT_DELTA: AgentRunConverter._of_output,
    EventType.TOOL_RESULT_DATA_DELTA: AgentRunConverter._of_data,
    EventType.TOOL_RESULT_END: AgentRunConverter._of_result,
    EventType.REQUIRE_USER_CONFIRM: AgentRunConverter._of_confirmation,
    EventType.REQUIRE_EXTERNAL_EXECUTION: AgentRunConverter._of_external,
    EventType.REPLY_END: AgentRunConverter._of_end,
    EventType.CUSTOM: AgentRunConverter._of_custom,
}
