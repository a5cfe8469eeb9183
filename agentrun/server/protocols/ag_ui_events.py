"""The events of a run in the words of AG-UI: everything that begins ends, in order, and the run ends once."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agentrun._core.values import is_object
from agentrun.integration._outcome import as_text
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.merging import with_addition
from agentrun.server.protocols.frames import encoded, quoted
from agentrun.server.protocols.protocol import dumps, raw_frame

_VERSION = "1.0"
_log = logging.getLogger("agentrun.server")


class AguiRun:
    """Tells one run, as frames; `begin` comes first, `end` last, and behind an error nothing more."""

    def __init__(self, thread_id: str, run_id: str, parent_run_id: str | None = None) -> None:
        self._ids = {"threadId": thread_id, "runId": run_id}
        self._parent = {"parentRunId": parent_run_id} if parent_run_id else {}
        self._text: str | None = None  # The id of the message that is open.
        self._reasoning: str | None = None
        self._calls: dict[str, bool] = {}  # Ids of calls, and whether they are open.
        self._waiting: list[str] = []  # Calls without a result.
        self._results: dict[str, str] = {}  # Pieces of results, by the ids of their calls.
        self._questions: list[dict[str, Any]] = []
        self._usage: dict[str, int] = {}
        self._has_ended = False
        self._tellers: Mapping[EventType, Callable[[AgentEvent], Iterator[bytes]]] = {
            EventType.TEXT: self._tell_text,
            EventType.REASONING: self._tell_reasoning,
            EventType.TOOL_CALL: self._tell_call,
            EventType.TOOL_CALL_CHUNK: self._tell_call,
            EventType.TOOL_RESULT: self._tell_result,
            EventType.TOOL_RESULT_CHUNK: self._keep_result,
            EventType.STATE: self._tell_state,
            EventType.HITL: self._ask,
            EventType.USAGE: self._count,
            EventType.ERROR: self._fail,
            EventType.CUSTOM: self._tell_custom,
        }

    def begin(self) -> Iterator[bytes]:
        """The run has started."""
        yield _frame("RUN_STARTED", **self._ids, **self._parent, protocolVersion=_VERSION)

    def tell(self, event: AgentEvent) -> Iterator[bytes]:
        """What an event means."""
        if event.event == EventType.RAW:
            yield raw_frame(event)
        else:
            yield from self._tellers[event.event](event)

    def end(self) -> Iterator[bytes]:
        """The run has finished, unless it failed."""
        if self._has_ended:
            return
        yield from self._close_all()
        for call_id in list(self._results):
            yield from self._result(call_id, "", {})
        yield _frame("RUN_FINISHED", **self._ids, **self._outcome(), **self._spent())

    def _outcome(self) -> dict[str, Any]:
        if self._questions:
            return {"outcome": {"type": "interrupt", "interrupts": self._questions}}
        if self._waiting:
            return {"outcome": {"type": "success", "pendingToolCallIds": self._waiting}}
        return {}

    def _spent(self) -> dict[str, Any]:
        return {"usage": [self._usage]} if self._usage else {}

    # Messages

    def _tell_text(self, event: AgentEvent) -> Iterator[bytes]:
        delta = str(event.data.get("delta") or "")
        if not delta and not event.addition:
            return
        yield from self._close_reasoning()
        yield from self._close_calls()
        if self._text is None:
            self._text = str(uuid.uuid4())
            yield _frame("TEXT_MESSAGE_START", messageId=self._text, role="assistant")
        yield _words("TEXT_MESSAGE_CONTENT", event, self._text, delta)

    def _tell_reasoning(self, event: AgentEvent) -> Iterator[bytes]:
        delta = str(event.data.get("delta") or "")
        if not delta and not event.addition:
            return
        yield from self._close_text()
        yield from self._close_calls()
        if self._reasoning is None:
            self._reasoning = str(uuid.uuid4())
            yield _frame("REASONING_START", messageId=self._reasoning)
            yield _frame("REASONING_MESSAGE_START", messageId=self._reasoning, role="reasoning")
        yield _words("REASONING_MESSAGE_CONTENT", event, self._reasoning, delta)

    def _close_text(self) -> Iterator[bytes]:
        if self._text is not None:
            yield _frame("TEXT_MESSAGE_END", messageId=self._text)
            self._text = None

    def _close_reasoning(self) -> Iterator[bytes]:
        if self._reasoning is not None:
            yield _frame("REASONING_MESSAGE_END", messageId=self._reasoning)
            yield _frame("REASONING_END", messageId=self._reasoning)
            self._reasoning = None

    def _close_all(self) -> Iterator[bytes]:
        yield from self._close_text()
        yield from self._close_reasoning()
        yield from self._close_calls()

    # Calls of tools

    def _tell_call(self, event: AgentEvent) -> Iterator[bytes]:
        data, call_id = event.data, str(event.data.get("id") or "")
        is_whole = event.event == EventType.TOOL_CALL
        if call_id not in self._calls:
            yield from self._begin_call(call_id, str(data.get("name") or ""))
        elif is_whole:
            yield from self._close_call(call_id)  # Its pieces were told.
            return
        arguments = str(data.get("args" if is_whole else "args_delta") or "")
        if not self._calls[call_id]:
            _log.warning("A piece of the arguments of call %s came when it had ended", call_id)
        elif arguments:
            yield _frame("TOOL_CALL_ARGS", event, toolCallId=call_id, delta=arguments)
        if is_whole:
            yield from self._close_call(call_id)

    def _begin_call(self, call_id: str, name: str) -> Iterator[bytes]:
        yield from self._close_text()
        yield from self._close_reasoning()
        self._calls[call_id] = True
        self._waiting.append(call_id)
        yield _frame("TOOL_CALL_START", toolCallId=call_id, toolCallName=name)

    def _close_calls(self) -> Iterator[bytes]:
        for call_id in self._calls:
            yield from self._close_call(call_id)

    def _close_call(self, call_id: str) -> Iterator[bytes]:
        if self._calls.get(call_id):
            self._calls[call_id] = False
            yield _frame("TOOL_CALL_END", toolCallId=call_id)

    def _keep_result(self, event: AgentEvent) -> Iterator[bytes]:
        call_id = str(event.data.get("id") or "")
        self._results[call_id] = self._results.get(call_id, "") + str(event.data.get("delta") or "")
        yield from ()

    def _tell_result(self, event: AgentEvent) -> Iterator[bytes]:
        data = event.data
        result = data.get("content") if data.get("result") is None else data["result"]
        failed = {"metadata": {"isError": True}} if data.get("is_error") else {}
        yield from self._result(str(data.get("id") or ""), "" if result is None else as_text(result), failed, event)

    def _result(
        self, call_id: str, rest: str, more: Mapping[str, Any], event: AgentEvent | None = None
    ) -> Iterator[bytes]:
        yield from self._close_call(call_id)
        if call_id in self._waiting:
            self._waiting.remove(call_id)
        content = self._results.pop(call_id, "") + rest
        result = {"messageId": f"tool-result-{call_id}", "toolCallId": call_id, "content": content, "role": "tool"}
        yield _frame("TOOL_CALL_RESULT", event, **result, **more)

    # The rest

    def _tell_state(self, event: AgentEvent) -> Iterator[bytes]:
        if "delta" in event.data:
            yield _frame("STATE_DELTA", event, delta=event.data["delta"])
        else:
            yield _frame("STATE_SNAPSHOT", event, snapshot=event.data.get("snapshot", event.data))

    def _ask(self, event: AgentEvent) -> Iterator[bytes]:
        """A question to a person: the run ends with it, and it is a call too, for clients that know no interrupts."""
        data = event.data
        kind, question_id = str(data.get("type") or "question"), str(data.get("id") or uuid.uuid4())
        call_id = data.get("tool_call_id")
        if call_id is None:
            call_id = question_id
            yield from self._begin_call(question_id, f"hitl_{kind}")
            yield _frame("TOOL_CALL_ARGS", event, toolCallId=question_id, delta=dumps(data).decode())
            yield from self._close_call(question_id)
        question = {"id": question_id, "reason": kind, "message": str(data.get("prompt") or ""), "toolCallId": call_id}
        schema = {"responseSchema": data["schema"]} if is_object(data.get("schema")) else {}
        self._questions.append({**question, **schema})

    def _count(self, event: AgentEvent) -> Iterator[bytes]:
        for name, counted in (("inputTokens", "input_tokens"), ("outputTokens", "output_tokens")):
            self._usage[name] = self._usage.get(name, 0) + int(event.data.get(counted) or 0)
        yield from ()

    def _fail(self, event: AgentEvent) -> Iterator[bytes]:
        yield from self._close_all()
        self._has_ended = True
        code = {"code": str(event.data["code"])} if event.data.get("code") else {}
        yield _frame("RUN_ERROR", event, message=str(event.data.get("message")), **code, **self._spent())

    def _tell_custom(self, event: AgentEvent) -> Iterator[bytes]:
        yield _frame("CUSTOM", event, name=str(event.data.get("name") or "custom"), value=event.data.get("value"))


def _words(kind: str, event: AgentEvent, message_id: str, delta: str) -> bytes:
    """A piece of a message; a stream is made of these, so no document is built for one that has nothing else."""
    if event.addition:
        return _frame(kind, event, messageId=message_id, delta=delta)
    text = f'data: {{"type":"{kind}","messageId":"{message_id}","delta":{quoted(delta)}}}\n\n'
    return encoded(text)


def _frame(kind: str, event: AgentEvent | None = None, /, **fields: Any) -> bytes:
    document = {"type": kind, **fields}
    return b"data: %b\n\n" % dumps(document if event is None else with_addition(document, event))
