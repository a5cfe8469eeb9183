"""What LangGraph and LangChain tell of a run, as events that every protocol of the server understands.

Takes `astream_events` (version v2), and every mode of `stream` and `astream`, alone or several at once. What is told
twice, by pieces and then as a whole, becomes events once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from agentrun._core.values import is_object
from agentrun.integration._outcome import as_json, as_text
from agentrun.server.events import AgentEvent, EventType

MODES = ("messages", "updates", "values", "custom", "debug", "tasks", "checkpoints")
INTERRUPT = "__interrupt__"


class AgentRunConverter:
    """Turns the events of one run into events of the server; it remembers what it has told, until `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin another run."""
        self._streamed: set[str] = set()  # Messages that were told by pieces.
        self._called: set[str] = set()
        self._answered: set[str] = set()
        self._open_calls: dict[tuple[str, Any], str] = {}  # The call that a message's piece at an index goes on with.
        self._waiting: dict[str, list[str]] = {}  # Calls without a result yet, by the name of the tool.
        self._has_begun = False

    def convert(self, event: Any, messages_key: str = "messages") -> Iterator[AgentEvent]:
        """What one event of the framework means; `messages_key` is where a graph's state keeps its messages."""
        if isinstance(event, tuple):
            yield from self._of_tuple(tuple(_several(event)), messages_key)
        elif not is_object(event):
            yield from self._message(event)
        elif self.is_astream_events_format(event):
            yield from self._of_run_event(event)
        else:
            yield from self._of_state(event, messages_key)

    @staticmethod
    def is_astream_events_format(event_dict: Mapping[str, Any]) -> bool:
        """Whether this is an event of `astream_events`."""
        return isinstance(event_dict.get("event"), str) and "data" in event_dict

    @staticmethod
    def is_stream_updates_format(event_dict: Mapping[str, Any]) -> bool:
        """Whether this is what one step of a graph changed: `{node: {...}}`."""
        return bool(event_dict) and all(value is None or isinstance(value, Mapping) for value in event_dict.values())

    @staticmethod
    def is_stream_values_format(event_dict: Mapping[str, Any]) -> bool:
        """Whether this is the whole state of a graph."""
        return isinstance(event_dict.get("messages"), Sequence)

    # Modes of `stream`

    def _of_tuple(self, event: tuple[Any, ...], messages_key: str) -> Iterator[AgentEvent]:
        *_, first, second = event  # With subgraphs, the path of the graph comes before.
        if first == "custom":
            yield AgentEvent(event=EventType.CUSTOM, data={"name": "custom", "value": as_json(second)})
        elif first == "messages":
            yield from self._message(second[0])
        elif first in ("updates", "values"):
            yield from self._of_state(second, messages_key)
        elif first not in MODES and isinstance(second, Mapping) and not isinstance(first, tuple):
            yield from self._message(first)  # A piece and what is known of it: the mode `messages` alone.
        elif isinstance(first, tuple):
            yield from self.convert(second, messages_key)

    def _of_state(self, state: Mapping[str, Any], messages_key: str) -> Iterator[AgentEvent]:
        for interrupt in state.get(INTERRUPT) or ():
            yield _question(interrupt)
        if isinstance(state.get(messages_key), Sequence):
            for message in self._of_this_run(state[messages_key]):
                yield from self._message(message)
            return
        for update in state.values():
            for part in _several(update):
                if is_object(part):
                    for message in _several(part.get(messages_key)):
                        yield from self._message(message)

    def _of_this_run(self, messages: Sequence[Any]) -> Sequence[Any]:
        """The messages of a whole state; the first one holds what was said in earlier runs too."""
        if self._has_begun:
            return messages
        self._has_begun = True
        last = max((index for index, each in enumerate(messages) if _kind(each) in ("human", "user")), default=-1)
        for message in messages[: last + 1]:
            list(self._message(message))  # Remembered, and not told.
        return messages[last + 1 :]

    # Events of `astream_events`

    def _of_run_event(self, event: Mapping[str, Any]) -> Iterator[AgentEvent]:
        kind, data = event["event"], event["data"]
        run_id = str(event.get("run_id") or "")
        if kind == "on_chat_model_stream":
            yield from self._message(data.get("chunk"), run_id)
        elif kind == "on_chat_model_end" and data.get("output") is not None:
            yield from self._whole(data["output"], run_id)  # Of the type of a piece, where a stream was put together.
        elif kind == "on_tool_end":
            yield from self._message(data.get("output"))
        elif kind == "on_tool_error":
            waiting = self._waiting.get(str(event.get("name"))) or [run_id]
            yield from self._result(
                waiting[0], f"{type(data.get('error')).__name__}: {data.get('error')}", is_error=True
            )
        elif kind == "on_custom_event":
            yield AgentEvent(event=EventType.CUSTOM, data={"name": event.get("name"), "value": as_json(data)})

    # Messages

    def _message(self, message: Any, run_id: str = "") -> Iterator[AgentEvent]:
        kind = _kind(message)
        if kind == "tool":
            yield from self._tool_message(message)
        elif kind == "AIMessageChunk":
            yield from self._piece(message, run_id)
        elif kind in ("ai", "assistant"):
            yield from self._whole(message, run_id)
        for update in _several(_field(message, "update") or None):  # A Command that a tool gave back.
            if isinstance(update, Mapping):
                for inner in _several(cast("Mapping[str, Any]", update).get("messages")):
                    yield from self._message(inner)

    def _piece(self, piece: Any, run_id: str) -> Iterator[AgentEvent]:
        message_id = str(_field(piece, "id") or run_id)
        self._streamed.update((message_id, run_id))
        yield from _words(piece)
        for chunk in _several(_field(piece, "tool_call_chunks")):
            place = (message_id, chunk.get("index"))
            if chunk.get("id") and chunk.get("name"):
                self._open_calls[place] = chunk["id"]
                self._begin(chunk["id"], chunk["name"])
            call_id = self._open_calls.get(place)
            if call_id:
                named = {"name": chunk["name"]} if chunk.get("name") else {}
                yield _event(EventType.TOOL_CALL_CHUNK, id=call_id, **named, args_delta=chunk.get("args") or "")

    def _whole(self, message: Any, run_id: str) -> Iterator[AgentEvent]:
        if self._is_new(str(_field(message, "id") or ""), run_id):
            yield from _words(message)
        for call in _several(_field(message, "tool_calls")):
            if call.get("id") not in self._called:
                self._begin(call["id"], call["name"])
                yield _event(
                    EventType.TOOL_CALL, id=call["id"], name=call["name"], args=json.dumps(call.get("args") or {})
                )

    def _is_new(self, message_id: str, run_id: str) -> bool:
        known = {each for each in (message_id, run_id) if each}
        if known & self._streamed:
            return False
        self._streamed |= known
        return True

    def _begin(self, call_id: str, name: str) -> None:
        self._called.add(call_id)
        self._waiting.setdefault(name, []).append(call_id)

    def _tool_message(self, message: Any) -> Iterator[AgentEvent]:
        is_error = _field(message, "status") == "error"
        content = as_text(_field(message, "content"))
        yield from self._result(str(_field(message, "tool_call_id") or ""), content, is_error=is_error)

    def _result(self, call_id: str, content: str, *, is_error: bool) -> Iterator[AgentEvent]:
        if call_id in self._answered:
            return
        self._answered.add(call_id)
        for waiting in self._waiting.values():
            if call_id in waiting:
                waiting.remove(call_id)
        yield _event(EventType.TOOL_RESULT, id=call_id, result=content, **({"is_error": True} if is_error else {}))


def _event(kind: EventType, **data: Any) -> AgentEvent:
    return AgentEvent(event=kind, data=data)


def _field(value: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _kind(message: Any) -> str:
    return str(_field(message, "type") or _field(message, "role") or "")


def _several(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else (value,)


def _words(message: Any) -> Iterator[AgentEvent]:
    """The reasoning and the text of a message."""
    extra: Mapping[str, Any] = _field(message, "additional_kwargs") or {}
    reasoning = extra.get("reasoning_content") or extra.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        yield _event(EventType.REASONING, delta=reasoning)
    content = _field(message, "content")
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else _several(content):
        part: Mapping[str, Any] = {"type": "text", "text": block} if isinstance(block, str) else block
        if part.get("type") in ("reasoning", "thinking"):
            text, kind = part.get("reasoning") or part.get("thinking"), EventType.REASONING
        else:
            text, kind = part.get("text"), EventType.TEXT
        if text:
            yield _event(kind, delta=text)


def _question(interrupt: Any) -> AgentEvent:
    """What a graph asks a person before it goes on."""
    value = as_json(_field(interrupt, "value"))
    question = value if is_object(value) else {"prompt": as_text(value)}
    asked = {"type": "interrupt", "prompt": as_text(value), **question}
    return AgentEvent(event=EventType.HITL, data={**asked, "id": str(_field(interrupt, "id") or "interrupt")})
