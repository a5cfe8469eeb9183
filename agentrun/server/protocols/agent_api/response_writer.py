"""What an agent does, as the stream of the Agent API: one response, its messages, their contents.

    response created, response in_progress
    ( message in_progress, content in_progress*, content completed, ..., message completed )*
    response completed | failed | canceled

Messages follow each other and never overlap, and each stream has one end.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from agentrun.server.events import AgentEvent, EventType
from agentrun.server.protocols.agent_api.frames import Frames
from agentrun.server.protocols.agent_api.media import content_of
from agentrun.server.protocols.agent_api.message_writer import MessageWriter
from agentrun.server.protocols.agent_api.model import (
    AgentRequest,
    AgentResponse,
    DataContent,
    Error,
    Message,
    RoleName,
    RunStatus,
    response_id,
)
from agentrun.server.protocols.agent_api.tool_writer import ToolWriter

UNKNOWN_ERROR = "AGENT_UNKNOWN_ERROR"

_CODE = re.compile(r"[A-Z][A-Z0-9_]*")
_OBJECT = TypeAdapter(dict[str, Any])


class ResponseWriter:
    """Writes one response; every method gives the frames that are to be sent, and none after the end."""

    def __init__(self, request: AgentRequest | None = None) -> None:
        self.response = AgentResponse(
            id=(request.id if request else None) or response_id(), session_id=request.session_id if request else None
        )
        self.is_over = False
        self._frames = Frames()
        self._done: list[Message] = []
        self._open: MessageWriter | None = None
        self._tools = ToolWriter(self._begin_message, self._end_message)
        self._tellers: dict[EventType, Callable[[dict[str, Any]], None]] = {
            EventType.TEXT: self._tell_text,
            EventType.REASONING: self._tell_reasoning,
            EventType.TOOL_CALL: self._tools.call,
            EventType.TOOL_CALL_CHUNK: self._tools.call_chunk,
            EventType.TOOL_RESULT: self._tools.output,
            EventType.TOOL_RESULT_CHUNK: self._tools.output_chunk,
            EventType.HITL: self._tools.question,
            EventType.STATE: self._tell_state,
            EventType.CUSTOM: self._tell_custom,
            EventType.USAGE: self._tell_usage,
            EventType.ERROR: self._tell_error,
            EventType.RAW: self._tell_raw,
        }

    def begin(self) -> bytes:
        """The response is there, and the agent at work."""
        self._frames.add(self.response)
        self.response.status = RunStatus.IN_PROGRESS.value
        self._frames.add(self.response)
        return self._frames.take()

    def write(self, event: AgentEvent) -> bytes:
        """What an event comes to, which may be nothing yet."""
        if self.is_over:
            return b""
        self._tellers[event.event](event.data)
        if event.addition:
            self._frames.amend(event)
        return self._frames.take()

    def complete(self) -> bytes:
        """The agent has done everything."""
        if not self.is_over:
            self._close()
            self.response.completed_at = int(time.time())
            self._finish(RunStatus.COMPLETED, self._done)
        return self._frames.take()

    def fail(self, code: str, message: str) -> bytes:
        """The agent failed; what it completed before stays."""
        self._stop(RunStatus.FAILED, Error(code=code, message=message))
        return self._frames.take()

    def fail_with(self, error: BaseException) -> bytes:
        """The agent failed with this exception."""
        return self.fail(UNKNOWN_ERROR, _words(type(error).__name__, str(error)))

    def cancel(self) -> bytes:
        """Somebody stopped the agent; what it completed before stays."""
        self._stop(RunStatus.CANCELED, None)
        return self._frames.take()

    def _stop(self, status: RunStatus, error: Error | None) -> None:
        if self.is_over:
            return
        if self._open is not None:
            self._open.interrupt()
        self.response.error = error
        self._finish(status, self._done or None)

    def _finish(self, status: RunStatus, output: list[Message] | None) -> None:
        self.response.status = status.value
        self.response.output = output
        self._frames.add(self.response)
        self.is_over = True

    def _begin_message(self, kind: str, role: RoleName = "assistant", group: str | None = None) -> MessageWriter:
        self._end_message()
        self._open = MessageWriter(self._frames, Message(type=kind, role=role), group)
        self._open.begin()
        return self._open

    def _end_message(self) -> None:
        if self._open is not None:
            self._open.end()
            self._done.append(self._open.message)
            self._open = None

    def _close(self) -> None:
        """Ends what is open, and what waits for it."""
        self._tools.settle()
        self._end_message()

    def _speaking(self, kind: str, group: str | None = None) -> MessageWriter:
        """The open message of this type; another one where the agent says that another begins."""
        opened = self._open
        if opened is not None and opened.type == kind and group in (None, opened.group):
            return opened
        self._close()
        return self._begin_message(kind, group=group)

    def _say(self, kind: str, data: dict[str, Any]) -> None:
        delta = data["delta"]
        if delta:
            self._speaking(kind, data.get("message_id")).add_text(delta)

    def _tell_text(self, data: dict[str, Any]) -> None:
        self._say("message", data)

    def _tell_reasoning(self, data: dict[str, Any]) -> None:
        self._say("reasoning", data)

    def _tell_state(self, data: dict[str, Any]) -> None:
        self._add_data({"type": "state", **data})

    def _tell_custom(self, data: dict[str, Any]) -> None:
        name, value = data.get("name"), data.get("value")
        part = content_of(str(name), value)
        if part is not None:
            self._speaking("message").add_part(part)
        else:
            self._add_data({"type": "custom", "name": name, "value": value})

    def _add_data(self, data: dict[str, Any]) -> None:
        # A copy, as JSON has it: the agent may go on to change what it gave.
        self._speaking("message").add_part(DataContent(data=_OBJECT.dump_python(data, mode="json")))

    def _tell_usage(self, data: dict[str, Any]) -> None:
        # The wire has the usage of the last message, not the sum.
        self.response.usage = _OBJECT.dump_python(data, mode="json")
        if self._open is not None:
            self._open.message.usage = self.response.usage

    def _tell_error(self, data: dict[str, Any]) -> None:
        code, message = str(data.get("code") or ""), str(data.get("message") or "")
        if code == asyncio.CancelledError.__name__:
            self._stop(RunStatus.CANCELED, None)
        elif _CODE.fullmatch(code):
            self._stop(RunStatus.FAILED, Error(code=code, message=message))
        else:
            self._stop(RunStatus.FAILED, Error(code=UNKNOWN_ERROR, message=_words(code, message)))

    def _tell_raw(self, data: dict[str, Any]) -> None:
        self._frames.add_raw(data["raw"])


def _words(kind: str, message: str) -> str:
    """The words for an error that nobody gave a code of the Agent API, but may have the name of its class."""
    return f"Unknown agent error: {kind}: {message}" if kind else f"Unknown agent error: {message}"
