"""Protocols from the side of who asks: questions become requests, and the data of their answers events."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from agentrun._core.values import is_list, is_object
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.protocols.agent_api.outputs import plain_output

_DONE = "[DONE]"
_CALLS = ("plugin_call", "function_call", "mcp_call", "component_call")
_OUTPUTS = ("plugin_call_output", "function_call_output", "mcp_call_output", "component_call_output")
_RESPONSE_ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
_ENDS = ("completed", "failed", "canceled", "rejected", "incomplete")


class Said(NamedTuple):
    """Something that was said: by the "user", or by the "assistant"."""

    role: str
    text: str


class Asking(NamedTuple):
    """A request; `path` stands behind that of the protocol."""

    body: dict[str, Any]
    path: str = ""
    headers: Mapping[str, str] = {}


class Speaker(ABC):
    """One question in a protocol; `is_over` says whether its answer has come to its end."""

    name: str
    label: str

    def __init__(self) -> None:
        self.is_over = False

    @abstractmethod
    def ask(self, conversation: Sequence[Said], session_id: str) -> Asking:
        """The request for what was said last."""

    def read(self, data: str) -> Iterator[AgentEvent]:
        """What one frame of the answer means; raises ValueError for what is no JSON object."""
        if data == _DONE:
            self.is_over = True
            return
        document = json.loads(data)
        if not is_object(document):
            raise ValueError(f"{data[:80]!r} is no object")
        yield from self._told(document)

    @abstractmethod
    def _told(self, document: dict[str, Any]) -> Iterator[AgentEvent]: ...


class AgentApi(Speaker):
    """The Agent API, whose agents remember their sessions."""

    name = "agent_api"
    label = "Agent API"

    def __init__(self) -> None:
        super().__init__()
        self._types: dict[str, str] = {}
        self._told_of: dict[tuple[str, int], str] = {}  # By message and place in it: what is known of its text.

    def ask(self, conversation: Sequence[Said], session_id: str) -> Asking:
        """The request for what was said last."""
        content = [{"type": "text", "text": conversation[-1].text}]
        question = {"role": "user", "type": "message", "content": content}
        return Asking({"input": [question], "session_id": session_id, "stream": True})

    def _told(self, document: dict[str, Any]) -> Iterator[AgentEvent]:
        kind, status, error = document.get("object"), document.get("status"), document.get("error")
        if error:
            yield _error(error)
        elif kind == "response" and status == "canceled":
            yield _error({"message": "The agent was interrupted"})
        elif kind == "message":
            yield from self._message(document)
        elif kind == "content":
            yield from self._content(document)
        self.is_over = self.is_over or (kind == "response" and status in _ENDS)

    def _message(self, message: dict[str, Any]) -> Iterator[AgentEvent]:
        self._types[str(message.get("id"))] = str(message.get("type"))
        if message.get("status") == "completed":  # Some servers tell only the whole of it.
            for index, part in enumerate(_list(message.get("content"))):
                yield from self._content({**_object(part), "msg_id": message.get("id"), "index": index, "delta": False})

    def _content(self, content: dict[str, Any]) -> Iterator[AgentEvent]:
        message = str(content.get("msg_id"))
        place, kind = (message, int(content.get("index") or 0)), self._types.get(message, "message")
        data = _object(content.get("data"))
        if content.get("type") == "text":
            text = self._new(place, str(content.get("text") or ""), is_whole=not content.get("delta"))
            yield from _said(EventType.REASONING if kind == "reasoning" else EventType.TEXT, text)
        elif kind in _CALLS:
            arguments = self._new(place, str(data.get("arguments") or ""), is_whole=True)
            yield _call(data.get("call_id"), data.get("name"), arguments)
        elif kind in _OUTPUTS and content.get("status") != "in_progress" and place not in self._told_of:
            self._told_of[place] = ""
            yield _result(data.get("call_id"), data.get("output"), is_error=bool(data.get("is_error")))

    def _new(self, place: tuple[str, int], text: str, *, is_whole: bool) -> str:
        """What is new in a text that comes in pieces, and then as a whole."""
        known = self._told_of.get(place, "")
        self._told_of[place] = text if is_whole else known + text
        return text.removeprefix(known) if is_whole else text


class AgUi(Speaker):
    """AG-UI."""

    name = "ag_ui"
    label = "AG-UI"

    def ask(self, conversation: Sequence[Said], session_id: str) -> Asking:
        """The request for what was said last."""
        messages = [{"id": str(uuid.uuid4()), "role": role, "content": text} for role, text in conversation]
        empty: dict[str, Any] = {"state": {}, "tools": [], "context": [], "forwardedProps": {}}
        return Asking({"threadId": session_id, "runId": str(uuid.uuid4()), "messages": messages, **empty})

    def _told(self, document: dict[str, Any]) -> Iterator[AgentEvent]:
        kind, call_id = document.get("type"), document.get("toolCallId")
        delta = str(document.get("delta") or "")
        if kind in ("TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CHUNK"):
            yield from _said(EventType.TEXT, delta)
        elif kind in ("REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_CHUNK", "THINKING_TEXT_MESSAGE_CONTENT"):
            yield from _said(EventType.REASONING, delta)
        elif kind in ("TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_CHUNK"):
            yield _call(call_id, document.get("toolCallName"), delta)
        elif kind == "TOOL_CALL_RESULT":
            is_error = bool(_object(document.get("metadata")).get("isError"))
            yield _result(call_id, document.get("content"), is_error=is_error)
        elif kind == "RUN_ERROR":
            yield _error(document)
        self.is_over = self.is_over or kind in ("RUN_FINISHED", "RUN_ERROR")


class Chat(Speaker):
    """OpenAI's chat completions."""

    name = "chat"
    label = "OpenAI Chat"

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, str] = {}

    def ask(self, conversation: Sequence[Said], session_id: str) -> Asking:
        """The request for what was said last."""
        messages = [{"role": role, "content": text} for role, text in conversation]
        body = {"model": "agentrun", "messages": messages, "stream": True}
        return Asking(body, "/chat/completions", {"x-agentrun-session-id": session_id})

    def _told(self, document: dict[str, Any]) -> Iterator[AgentEvent]:
        if document.get("error"):
            self.is_over = True
            yield _error(document["error"])
        for choice in _list(document.get("choices")):
            delta = _object(_object(choice).get("delta"))
            yield from _said(EventType.REASONING, str(delta.get("reasoning_content") or ""))
            yield from _said(EventType.TEXT, str(delta.get("content") or ""))
            for call in map(_object, _list(delta.get("tool_calls"))):
                call_id = self._calls.setdefault(int(call.get("index") or 0), str(call.get("id")))
                function = _object(call.get("function"))
                yield _call(call_id, function.get("name"), str(function.get("arguments") or ""))


class Responses(Speaker):
    """OpenAI's responses."""

    name = "responses"
    label = "OpenAI Responses"

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[str, str] = {}

    def ask(self, conversation: Sequence[Said], session_id: str) -> Asking:
        """The request for what was said last."""
        items = [{"role": role, "content": text} for role, text in conversation]
        body = {"model": "agentrun", "input": items, "stream": True, "store": False}
        return Asking(body, "/responses", {"x-agentrun-session-id": session_id})

    def _told(self, document: dict[str, Any]) -> Iterator[AgentEvent]:
        kind, delta, item = str(document.get("type")), str(document.get("delta") or ""), _object(document.get("item"))
        if kind == "response.output_text.delta":
            yield from _said(EventType.TEXT, delta)
        elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
            yield from _said(EventType.REASONING, delta)
        elif kind == "response.output_item.added" and item.get("type") == "function_call":
            call_id = self._calls.setdefault(str(item.get("id")), str(item.get("call_id")))
            yield _call(call_id, item.get("name"), "")
        elif kind == "response.function_call_arguments.delta":
            yield _call(self._calls.get(str(document.get("item_id"))), None, delta)
        elif kind == "response.output_item.done" and item.get("type") == "function_call_output":
            yield _result(item.get("call_id"), item.get("output"), is_error=item.get("status") == "incomplete")
        elif kind in ("response.failed", "error"):
            yield _error(_object(document.get("response")).get("error") or document)
        self.is_over = self.is_over or kind in _RESPONSE_ENDS


SPEAKERS: Mapping[str, type[Speaker]] = {each.name: each for each in (AgentApi, AgUi, Chat, Responses)}


def _object(value: Any) -> dict[str, Any]:
    return value if is_object(value) else {}


def _list(value: Any) -> list[Any]:
    return value if is_list(value) else []


def _said(kind: EventType, text: str) -> Iterator[AgentEvent]:
    if text:
        yield AgentEvent(event=kind, data={"delta": text})


def _call(call_id: Any, name: Any, arguments: str) -> AgentEvent:
    named = {"name": str(name)} if name else {}
    return AgentEvent(event=EventType.TOOL_CALL_CHUNK, data={"id": str(call_id), "args_delta": arguments, **named})


def _result(call_id: Any, result: Any, *, is_error: bool) -> AgentEvent:
    found = {"id": str(call_id), "result": plain_output(result), "is_error": is_error}
    return AgentEvent(event=EventType.TOOL_RESULT, data=found)


def _error(error: Any) -> AgentEvent:
    message, code = (error.get("message"), error.get("code")) if is_object(error) else (error, None)
    return AgentEvent(event=EventType.ERROR, data={"message": str(message), "code": code and str(code)})
