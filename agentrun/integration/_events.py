"""What frameworks tell of a run in their own words, as events of the server; each thing is told once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentrun.integration._outcome import as_json, as_text
from agentrun.server.events import AgentEvent, EventType


class Teller:
    """Makes the events of one run, and remembers what it has told, until `reset`: pieces and then a whole are one."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin another run."""
        self._called: set[str] = set()
        self._answered: set[str] = set()

    @staticmethod
    def text(delta: str | None) -> Iterator[AgentEvent]:
        """A piece of what the agent says."""
        if delta:
            yield event(EventType.TEXT, delta=delta)

    @staticmethod
    def reasoning(delta: str | None) -> Iterator[AgentEvent]:
        """A piece of what the agent thinks."""
        if delta:
            yield event(EventType.REASONING, delta=delta)

    @staticmethod
    def custom(name: str, value: Any) -> Iterator[AgentEvent]:
        """Something for which there is no event."""
        yield event(EventType.CUSTOM, name=name, value=as_json(value))

    @staticmethod
    def failure(error: BaseException) -> Iterator[AgentEvent]:
        """The run ended with an error."""
        yield event(EventType.ERROR, message=str(error), code=type(error).__name__)

    def call_piece(self, call_id: str, name: str, arguments: str) -> Iterator[AgentEvent]:
        """A piece of a call's arguments; the first one names the tool."""
        named = {} if call_id in self._called else {"name": name}
        self._called.add(call_id)
        if named or arguments:
            yield event(EventType.TOOL_CALL_CHUNK, id=call_id, **named, args_delta=arguments)

    def call(self, call_id: str, name: str, arguments: Any) -> Iterator[AgentEvent]:
        """A whole call, unless it was told by pieces; its arguments as JSON text, or as what becomes that."""
        if call_id not in self._called:
            self._called.add(call_id)
            yield event(EventType.TOOL_CALL, id=call_id, name=name, args=as_text(arguments))

    def result(self, call_id: str, result: Any, *, is_error: bool = False) -> Iterator[AgentEvent]:
        """What a call came to."""
        if call_id not in self._answered:
            self._answered.add(call_id)
            failed = {"is_error": True} if is_error else {}
            yield event(EventType.TOOL_RESULT, id=call_id, result=as_text(result), **failed)

    @staticmethod
    def question(call_id: str, kind: str, prompt: str, **more: Any) -> Iterator[AgentEvent]:
        """What a person is asked before the run goes on."""
        yield event(EventType.HITL, **more, id=call_id, type=kind, prompt=prompt)


def event(kind: EventType, **data: Any) -> AgentEvent:
    """An event of the server."""
    return AgentEvent(event=kind, data=data)
