"""What an agent does, as the stream of a response.

    response.created, response.in_progress
    ( output_item.added, (content_part.added, deltas, done, content_part.done)* or arguments, output_item.done )*
    response.completed | response.incomplete | response.failed

Messages follow each other; calls may be open side by side, each at its place of the output.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from agentrun._core.values import is_object
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.protocols.responses.frames import Frames
from agentrun.server.protocols.responses.item_writer import COMPLETED, IN_PROGRESS, INCOMPLETE, ItemWriter
from agentrun.server.protocols.responses.media import shown
from agentrun.server.protocols.responses.speech_writer import REASONING, REFUSAL, TEXT, Speech, SpeechWriter
from agentrun.server.protocols.responses.tool_writer import ToolWriter

CANCELLED = "cancelled"
FAILED = "failed"
# Errors that are no failures: the agent had to stop, and what it said so far is of use.
_INCOMPLETE_REASONS = frozenset({"max_output_tokens", "content_filter"})
# The protocol knows a few codes only.
_SERVER_ERROR = "server_error"
_CODES = {400: "invalid_prompt", 429: "rate_limit_exceeded"}


class ResponseWriter:
    """Writes one response, which grows in `response`; every method gives the frames that are to be sent.

    How it ended can change until `last` says it.
    """

    def __init__(self, response: dict[str, Any]) -> None:
        self.response = response
        self.has_begun = False
        self.is_over = False
        self._end_event = COMPLETED
        self._frames = Frames()
        self._speech = SpeechWriter(self._begin_speech)
        self._tools = ToolWriter(self._begin_item)
        self._tellers: dict[EventType, Callable[[dict[str, Any]], None]] = {
            EventType.TEXT: self._tell_text,
            EventType.REASONING: self._tell_reasoning,
            EventType.TOOL_CALL: self._tools.call,
            EventType.TOOL_CALL_CHUNK: self._tools.call_chunk,
            EventType.TOOL_RESULT: self._tools.output,
            EventType.TOOL_RESULT_CHUNK: self._tools.output_chunk,
            EventType.HITL: self._tell_question,
            EventType.CUSTOM: self._tell_custom,
            EventType.USAGE: self._tell_usage,
            EventType.ERROR: self._tell_error,
            EventType.RAW: self._tell_raw,
        }

    def begin(self) -> bytes:
        """The response is there, and the agent at work."""
        self._begin()
        return self._frames.take()

    def write(self, event: AgentEvent) -> bytes:
        """What an event comes to, which may be nothing; what the protocol has no words for is passed over."""
        if not self.has_begun:
            self._begin()
        tell = self._tellers.get(event.event)
        if tell is not None and not self.is_over:
            tell(event.data)
            if event.addition:
                self._frames.amend(event)
        return self._frames.take()

    def complete(self) -> bytes:
        """The agent has done everything, unless it has ended otherwise."""
        self._begin()
        if not self.is_over:
            self._end(COMPLETED)
            self.response["completed_at"] = int(time.time())
            self._finish(COMPLETED, COMPLETED)
        return self._frames.take()

    def fail(self, error: dict[str, Any]) -> bytes:
        """The agent failed; what it said before stays."""
        self._begin()
        self._fail(error)
        return self._frames.take()

    def cancel(self) -> bytes:
        """Somebody stopped the agent; what it said before stays."""
        return self.fail({"code": asyncio.CancelledError.__name__, "message": "The response was cancelled"})

    def last(self) -> bytes:
        """How the response ended."""
        self._frames.add(f"response.{self._end_event}", response=self.response)
        return self._frames.take()

    def so_far(self) -> dict[str, Any]:
        """The response with what there is of it."""
        self._speech.flush()
        self._tools.flush()
        return self.response

    @staticmethod
    def is_failure(event: AgentEvent) -> bool:
        """Whether the agent failed by this."""
        return event.event == EventType.ERROR and event.data.get("code") not in _INCOMPLETE_REASONS

    def _begin(self) -> None:
        if self.has_begun:
            return
        self.has_begun = True
        self._frames.add("response.created", response=self.response)
        self.response["status"] = IN_PROGRESS
        self._frames.add("response.in_progress", response=self.response)

    def _begin_item(self, item: dict[str, Any]) -> ItemWriter:
        self._speech.end()
        return ItemWriter(self._frames, self.response["output"], item)

    def _begin_speech(self, item: dict[str, Any]) -> ItemWriter:
        self._tools.settle()
        return ItemWriter(self._frames, self.response["output"], item)

    def _end(self, status: str) -> None:
        self._speech.end(status)
        self._tools.end(status)

    def _fail(self, data: dict[str, Any]) -> None:
        self._end(INCOMPLETE)
        code = str(data.get("code") or "")
        status = CANCELLED if code == asyncio.CancelledError.__name__ else FAILED
        said = {"code": _CODES.get(int(data.get("status") or 500), _SERVER_ERROR), "message": str(data.get("message"))}
        self.response["completed_at"] = None
        self.response["error"] = {**said, "type": code or _SERVER_ERROR}
        self._finish(FAILED, status)

    def _finish(self, event: str, status: str) -> None:
        self.response["status"] = status
        self._end_event = event
        self.is_over = True

    def _say(self, speech: Speech, data: dict[str, Any]) -> None:
        delta = data.get("delta")
        if delta:
            self._speech.say(speech, str(delta), data.get("message_id"))

    def _tell_text(self, data: dict[str, Any]) -> None:
        self._say(TEXT, data)

    def _tell_reasoning(self, data: dict[str, Any]) -> None:
        self._say(REASONING, data)

    def _tell_question(self, data: dict[str, Any]) -> None:
        if not self._tools.question(data):
            self._say(TEXT, {"delta": data.get("prompt")})

    def _tell_custom(self, data: dict[str, Any]) -> None:
        name, value = str(data.get("name")), data.get("value")
        if name == REFUSAL.part_type:
            self._say(REFUSAL, {"delta": value.get("refusal") if is_object(value) else value})
            return
        found = shown(name, value)
        if found is not None and found.part is not None:
            self._speech.add_part(found.part)
        elif found is not None and found.item is not None:
            self._begin_item(found.item).end()

    def _tell_usage(self, data: dict[str, Any]) -> None:
        before = self.response["usage"] or _usage({})
        now = _usage(data)
        self.response["usage"] = {name: _sum(before[name], now[name]) for name in now}

    def _tell_error(self, data: dict[str, Any]) -> None:
        if data.get("code") in _INCOMPLETE_REASONS:
            self._end(INCOMPLETE)
            self.response["incomplete_details"] = {"reason": data["code"]}
            self._finish(INCOMPLETE, INCOMPLETE)
        else:
            self._fail(data)

    def _tell_raw(self, data: dict[str, Any]) -> None:
        self._frames.add_raw(data.get("raw") or "")


def _usage(data: dict[str, Any]) -> dict[str, Any]:
    read, written = int(data.get("input_tokens") or 0), int(data.get("output_tokens") or 0)
    cached = {"cached_tokens": int(data.get("cached_tokens") or 0), "cache_write_tokens": 0}
    return {
        "input_tokens": read,
        "input_tokens_details": cached,
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": int(data.get("reasoning_tokens") or 0)},
        "total_tokens": read + written,
    }


def _sum(first: Any, second: Any) -> Any:
    return {name: first[name] + second[name] for name in first} if is_object(first) else first + second
