"""What the OpenAI Agents SDK tells of a run, as events that every protocol of the server understands.

Takes what `stream_events()` of a streamed run yields, the `new_items` of a whole one, and its `interruptions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentrun.integration._events import Teller
from agentrun.integration._extra import framework
from agentrun.server.events import AgentEvent

with framework("openai_agents", "agents"):
    from agents import AgentUpdatedStreamEvent, ItemHelpers, RawResponsesStreamEvent, RunItemStreamEvent
    from agents.items import (
        HandoffCallItem,
        HandoffOutputItem,
        MessageOutputItem,
        ReasoningItem,
        ToolApprovalItem,
        ToolCallItem,
        ToolCallOutputItem,
    )

_REASONING = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")
_TEXT = ("response.output_text.delta", "response.refusal.delta")


class AgentRunConverter(Teller):
    """Turns the events of one run into events of the server; it remembers what it has told, until `reset`."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._open: dict[int, tuple[str, str]] = {}  # The id and name of the call at a place of the answer.
        self._agent: str | None = None
        self._said = self._thought = False  # Whether pieces told the message that comes next as a whole.

    def convert(self, event: Any) -> Iterator[AgentEvent]:
        """What one event, item or interruption of the SDK means."""
        if isinstance(event, RawResponsesStreamEvent):
            yield from self._of_answer(event.data)
        elif isinstance(event, AgentUpdatedStreamEvent):
            before, self._agent = self._agent, event.new_agent.name
            if before is not None:  # The first one is the agent that was asked.
                yield from self.custom("agent_updated", {"agent": event.new_agent.name})
        else:
            yield from self._of_item(event.item if isinstance(event, RunItemStreamEvent) else event)

    def _of_answer(self, piece: Any) -> Iterator[AgentEvent]:
        if piece.type in _TEXT:
            self._said = True
            yield from self.text(piece.delta)
        elif piece.type in _REASONING:
            self._thought = True
            yield from self.reasoning(piece.delta)
        elif piece.type == "response.output_item.added" and piece.item.type == "function_call":
            self._open[piece.output_index] = (piece.item.call_id, piece.item.name)
            yield from self.call_piece(*self._open[piece.output_index], piece.item.arguments or "")
        elif piece.type == "response.function_call_arguments.delta" and piece.output_index in self._open:
            yield from self.call_piece(*self._open[piece.output_index], piece.delta)

    def _of_item(self, item: Any) -> Iterator[AgentEvent]:
        if isinstance(item, MessageOutputItem):
            told, self._said = self._said, False
            yield from self.text(None if told else ItemHelpers.text_message_output(item))
        elif isinstance(item, ReasoningItem):
            told, self._thought = self._thought, False
            yield from self.reasoning(None if told else _thoughts(item))
        elif isinstance(item, (ToolCallItem, HandoffCallItem)):
            raw = item.raw_item
            name, call_id = _field(raw, "name") or _field(raw, "type"), _field(raw, "call_id") or _field(raw, "id")
            yield from self.call(str(call_id), str(name), _field(raw, "arguments") or "{}")
        elif isinstance(item, (ToolCallOutputItem, HandoffOutputItem)):
            failed = bool((getattr(item, "custom_data", None) or {}).get("is_error"))
            yield from self.result(str(_field(item.raw_item, "call_id")), _output(item.raw_item), is_error=failed)
        elif isinstance(item, ToolApprovalItem):
            asked = {"name": item.tool_name, "args": _field(item.raw_item, "arguments")}
            call_id = _field(item.raw_item, "call_id") or _field(item.raw_item, "id")
            yield from self.question(str(call_id), "tool_approval", f"May {item.tool_name} be called?", **asked)


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _output(raw: Any) -> Any:
    """What a tool answered: its text, where there are parts of which some are text."""
    output = _field(raw, "output")
    if not isinstance(output, list):
        return output
    return "".join(part.get("text") or f"[{part.get('type')}]" for part in output)


def _thoughts(item: ReasoningItem) -> str:
    parts = item.raw_item.content or item.raw_item.summary
    return "\n".join(part.text for part in parts)
