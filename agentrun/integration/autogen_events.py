"""What AutoGen tells of a run, as events that every protocol of the server understands.

Takes what `run_stream` of agents and teams yields, what `on_messages_stream` does, and what `run` comes to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentrun.integration._events import Teller
from agentrun.integration._extra import framework
from agentrun.server.events import AgentEvent

with framework("autogen", "autogen_agentchat"):
    from autogen_agentchat.base import Response, TaskResult
    from autogen_agentchat.messages import (
        BaseChatMessage,
        CodeExecutionEvent,
        CodeGenerationEvent,
        HandoffMessage,
        MemoryQueryEvent,
        ModelClientStreamingChunkEvent,
        SelectSpeakerEvent,
        ThoughtEvent,
        ToolCallExecutionEvent,
        ToolCallRequestEvent,
        UserInputRequestedEvent,
    )

_CODE = "run_code"
# What is in a message's metadata that was said before the run: AutoGen tells the whole task again.
SAID_BEFORE = "agentrun_said_before"


class AgentRunConverter(Teller):
    """Turns the events of one run into events of the server; it remembers what it has told, until `reset`."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._told: set[str] = set()  # The messages that are known, by pieces or as a whole.
        self._seen: set[str] = set()  # All that has come; the result of a run has it again.
        self._code: str | None = None  # The call of code that runs.

    def convert(self, event: Any) -> Iterator[AgentEvent]:
        """What one event or message of AutoGen means."""
        if isinstance(event, TaskResult):
            for message in event.messages:
                if message.id not in self._seen:
                    yield from self._one(message)
        else:
            yield from self._one(event.chat_message if isinstance(event, Response) else event)

    def _one(self, event: Any) -> Iterator[AgentEvent]:
        self._seen.add(event.id)
        if SAID_BEFORE in event.metadata:
            return
        if isinstance(event, ModelClientStreamingChunkEvent):
            self._told.add(event.full_message_id or "")
            yield from self.text(event.content)
        elif isinstance(event, ToolCallRequestEvent):
            for call in event.content:
                yield from self.call(call.id, call.name, call.arguments)
        elif isinstance(event, ToolCallExecutionEvent):
            for done in event.content:
                yield from self.result(done.call_id, done.content, is_error=bool(done.is_error))
        elif isinstance(event, (CodeGenerationEvent, CodeExecutionEvent)):
            yield from self._ran(event)
        elif isinstance(event, (BaseChatMessage, ThoughtEvent)):
            yield from self._said(event)
        else:
            yield from self._rest(event)

    def _said(self, message: BaseChatMessage | ThoughtEvent) -> Iterator[AgentEvent]:
        """A whole message; what a person said is no event, and what came by pieces is told."""
        known = message.source == "user" or message.id in self._told
        self._told.add(message.id)
        if isinstance(message, HandoffMessage):
            yield from self.custom("handoff", {"target": message.target, "content": message.content})
        elif isinstance(message, ThoughtEvent):
            yield from self.reasoning(None if known else message.content)
        else:
            yield from self.text(None if known else message.to_text())

    def _ran(self, event: CodeGenerationEvent | CodeExecutionEvent) -> Iterator[AgentEvent]:
        if isinstance(event, CodeGenerationEvent):
            self._code = event.id
            blocks = [{"language": block.language, "code": block.code} for block in event.code_blocks]
            yield from self.call(event.id, _CODE, {"blocks": blocks})
            return
        call_id, self._code = self._code or event.id, None
        yield from self.call(call_id, _CODE, {})
        yield from self.result(call_id, event.result.output, is_error=event.result.exit_code != 0)

    def _rest(self, event: Any) -> Iterator[AgentEvent]:
        if isinstance(event, UserInputRequestedEvent):
            yield from self.question(event.request_id, "user_input", f"{event.source} asks for an answer")
        elif isinstance(event, MemoryQueryEvent):
            yield from self.custom("memory", [str(found.content) for found in event.content])
        elif isinstance(event, SelectSpeakerEvent):
            yield from self.custom("select_speaker", {"speakers": event.content})
        elif getattr(event, "type", None) == "ToolProgressEvent":
            progress = event.model_dump(include={"call_id", "done", "total", "content"})
            yield from self.custom("tool_progress", {"tool": event.source, **progress})
