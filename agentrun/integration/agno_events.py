"""What Agno tells of a run, as events that every protocol of the server understands.

Takes what `run` and `arun` of agents and teams give, streaming or not. Nothing of Agno is imported: its events name
themselves.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agentrun._core.values import is_list
from agentrun.integration._events import Teller, event
from agentrun.server.events import AgentEvent, EventType

# Where a run keeps media, and what its parts are called elsewhere.
_MEDIA = {"images": "image", "image": "image", "videos": "video", "audio": "audio", "response_audio": "audio"}


class AgentRunConverter(Teller):
    """Turns the events of one run into events of the server; it remembers what it has told, until `reset`."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._said = self._thought = self._counted = False
        self._shown: set[str] = set()
        self._readers: Mapping[str, Callable[[Any], Iterator[AgentEvent]]] = {
            "RunContent": self._of_content,
            "RunCompleted": self._of_end,
            "RunError": self._of_failure,
            "RunCancelled": self._of_cancellation,
            "RunPaused": self._of_pause,
            "ReasoningContentDelta": self._of_thought,
            "ToolCallStarted": self._of_call,
            "ToolCallCompleted": self._of_result,
            "ToolCallError": self._of_result,
            "ModelRequestCompleted": self._of_usage,
        }

    def convert(self, event: Any) -> Iterator[AgentEvent]:
        """What one event means, or what a run came to that did not stream."""
        name = getattr(event, "event", None)
        if isinstance(name, str):
            read = self._readers.get(name.removeprefix("Team"), self._of_other)
            yield from read(event)
        elif hasattr(event, "tools") and hasattr(event, "content"):
            yield from self._of_run(event)

    def _of_run(self, run: Any) -> Iterator[AgentEvent]:
        """A whole run: what was thought, what was called, and what was said of it."""
        yield from self._of_thought(run)
        for tool in run.tools or ():
            yield from self._called_and_answered(tool)
        if str(getattr(run.status, "value", run.status)).upper() == "ERROR":
            yield from self._of_failure(run)
        else:
            yield from self._of_end(run)

    def _of_content(self, event: Any) -> Iterator[AgentEvent]:
        yield from self._of_thought(event)
        if getattr(event, "parent_run_id", None) is None:  # The leader of a team tells what its members say.
            self._said = self._said or bool(event.content)
            yield from self.text(_words(event.content))
        yield from self._of_media(event)

    def _of_thought(self, event: Any) -> Iterator[AgentEvent]:
        self._thought = self._thought or bool(event.reasoning_content)
        yield from self.reasoning(event.reasoning_content)

    def _of_end(self, event: Any) -> Iterator[AgentEvent]:
        """The end repeats what was told by pieces."""
        if getattr(event, "parent_run_id", None) is not None:
            return
        if not self._thought:
            yield from self._of_thought(event)
        if not self._said:
            yield from self.text(_words(event.content))
        yield from self._of_media(event)
        if not self._counted and event.metrics is not None:
            yield from self._of_usage(event.metrics)

    def _of_media(self, event: Any) -> Iterator[AgentEvent]:
        for field, kind in _MEDIA.items():
            found: Any = getattr(event, field, None)
            several: Sequence[Any] = found if is_list(found) else [found] if found else []
            for medium in several:
                if medium.id not in self._shown:
                    self._shown.add(medium.id)
                    yield from self.custom(kind, _block(medium))

    # Tools

    def _of_call(self, event: Any) -> Iterator[AgentEvent]:
        tool = event.tool
        yield from self.call(tool.tool_call_id, tool.tool_name, tool.tool_args or {})

    def _of_result(self, event: Any) -> Iterator[AgentEvent]:
        yield from self._called_and_answered(event.tool, getattr(event, "error", None))
        yield from self._of_media(event)

    def _called_and_answered(self, tool: Any, error: str | None = None) -> Iterator[AgentEvent]:
        yield from self.call(tool.tool_call_id, tool.tool_name, tool.tool_args or {})
        failed = bool(error or tool.tool_call_error)
        yield from self.result(tool.tool_call_id, error or tool.result or "", is_error=failed)

    # The rest

    def _of_usage(self, counted: Any) -> Iterator[AgentEvent]:
        self._counted = True
        read, written = counted.input_tokens or 0, counted.output_tokens or 0
        yield event(EventType.USAGE, input_tokens=read, output_tokens=written)

    def _of_failure(self, failed: Any) -> Iterator[AgentEvent]:
        code = getattr(failed, "error_type", None) or "RunError"
        yield event(EventType.ERROR, message=_words(failed.content) or "The run failed", code=code)

    def _of_cancellation(self, cancelled: Any) -> Iterator[AgentEvent]:
        yield event(EventType.ERROR, message=cancelled.reason or "The run was cancelled", code="CancelledError")

    def _of_pause(self, paused: Any) -> Iterator[AgentEvent]:
        for tool in paused.tools or ():
            yield from self.call(tool.tool_call_id, tool.tool_name, tool.tool_args or {})
            more: dict[str, Any] = {
                "tool_call_id": tool.tool_call_id,
                "tool": tool.tool_name,
                "args": tool.tool_args or {},
            }
            yield from self.question(tool.tool_call_id, *_question(tool), **more)

    def _of_other(self, other: Any) -> Iterator[AgentEvent]:
        """Programs have events of their own; Agno's other ones are about how it works."""
        if other.event == "CustomEvent":
            yield from self.custom(type(other).__name__, vars(other))


def _question(tool: Any) -> tuple[str, str]:
    if tool.requires_confirmation:
        return "confirmation", f"May {tool.tool_name} be called?"
    if tool.requires_user_input:
        return "user_input", f"What is {tool.tool_name} to be called with?"
    return "external_execution", f"What does {tool.tool_name} answer?"


def _words(content: Any) -> str | None:
    """Text as it is, and what has a schema as JSON."""
    if content is None or isinstance(content, str):
        return content
    dump: Callable[..., str] | None = getattr(content, "model_dump_json", None)
    return dump(exclude_none=True) if dump is not None else str(content)


def _block(medium: Any) -> dict[str, Any]:
    told = {"url": medium.url, "mime_type": medium.mime_type, "format": medium.format}
    if medium.content is not None:
        content = medium.content.encode() if isinstance(medium.content, str) else medium.content
        told["data"] = base64.b64encode(content).decode()
    return {name: value for name, value in told.items() if value}
