"""What an agent of smolagents tells of a run, as events that every protocol of the server understands.

Takes what `agent.run(..., stream=True)` yields. The answer is text; what the model writes on the way is reasoning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentrun.integration._events import Teller
from agentrun.integration._extra import framework
from agentrun.server.events import AgentEvent

with framework("smolagents", "smolagents"):
    from smolagents import ActionStep, ChatMessageStreamDelta, FinalAnswerStep, PlanningStep, ToolCall
    from smolagents.agents import ToolOutput

FINAL_ANSWER = "final_answer"  # A tool by name, but what it is given is the answer.


class AgentRunConverter(Teller):
    """Turns what a run yields into events of the server; it remembers what it has told, until `reset`."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._pieces: dict[int, tuple[str, str]] = {}  # The id and name of the call at a place of the answer.
        self._open: list[str] = []

    def convert(self, event: Any) -> Iterator[AgentEvent]:
        """What one thing that a run yields means."""
        if isinstance(event, ChatMessageStreamDelta):
            yield from self.reasoning(event.content)
            for piece in event.tool_calls or ():
                yield from self._of_piece(piece)
        elif isinstance(event, ToolCall) and event.name != FINAL_ANSWER:
            self._open.append(event.id)
            yield from self.call(event.id, event.name, event.arguments)
        elif isinstance(event, ToolOutput) and not event.is_final_answer:
            yield from self._closed(event.id, event.observation)
        elif isinstance(event, ActionStep):
            yield from self._of_step(event)
        elif isinstance(event, PlanningStep):
            yield from self.custom("plan", {"plan": event.plan})
        elif isinstance(event, FinalAnswerStep):
            yield from self.text(str(event.output))

    def _of_piece(self, piece: Any) -> Iterator[AgentEvent]:
        function = piece.function
        if function is not None and function.name:
            self._pieces[piece.index] = (piece.id, function.name)
        call_id, name = self._pieces.get(piece.index, ("", FINAL_ANSWER))
        if name != FINAL_ANSWER:
            yield from self.call_piece(call_id, name, (function.arguments if function else None) or "")

    def _of_step(self, step: ActionStep) -> Iterator[AgentEvent]:
        failed = step.error is not None
        text = step.error.message if step.error is not None else step.observations or ""
        if failed and not self._open:
            yield from self.custom("step_error", step.error.dict() if step.error is not None else None)
        for call_id in list(self._open):
            yield from self._closed(call_id, text, failed)
        self._pieces.clear()

    def _closed(self, call_id: str, result: str, is_error: bool = False) -> Iterator[AgentEvent]:
        self._open.remove(call_id)
        yield from self.result(call_id, result, is_error=is_error)
