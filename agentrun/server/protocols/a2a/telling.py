"""The events of a run as what happens to a task: answers are an artifact, all else are messages on the way."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from agentrun.integration._outcome import as_json, as_text
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.merging import with_addition
from agentrun.server.protocols.a2a.growing import Growing
from agentrun.server.protocols.a2a.states import CANCELED, COMPLETED, FAILED, INPUT_REQUIRED, WORKING
from agentrun.server.protocols.a2a.task import Task
from agentrun.server.protocols.media import media_part

Json = dict[str, Any]

_PIECES = (EventType.TOOL_CALL_CHUNK, EventType.TOOL_RESULT_CHUNK)
_log = logging.getLogger("agentrun.server")


async def work(task: Task, events: AsyncGenerator[AgentEvent, None]) -> None:
    """Let an agent answer a task, to its end."""
    teller = _Teller(task)
    task.set_state(WORKING)
    try:
        async with aclosing(events):
            async for event in events:
                teller.tell(event)
                await task.room()
                if task.has_ended:
                    return
        teller.end()
    except BaseException as error:
        _fail(task, error)


def _fail(task: Task, error: BaseException) -> None:
    """The agent has gone without a word: it was stopped, or what stands around it broke."""
    if not isinstance(error, Exception):
        task.set_state(CANCELED, task.message({"text": "The task was canceled"}))
        raise error
    _log.error("The answer of the agent cannot be told", exc_info=error)
    task.set_state(FAILED, task.message({"text": str(error) or type(error).__name__}))


class _Teller:
    """Tells the events of one run; `end` comes last."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._answer: Growing | None = None
        self._thought: Growing | None = None
        self._calls: dict[str, Json] = {}  # Those that are not whole, by their ids.
        self._names: dict[str, str] = {}  # Of all calls.
        self._results: dict[str, str] = {}  # Pieces of results, by the ids of their calls.
        self._question: str | None = None
        self._usage: dict[str, int] = {}
        self._tellers: Mapping[EventType, Callable[[AgentEvent], None]] = {
            EventType.TEXT: self._tell_text,
            EventType.REASONING: self._tell_reasoning,
            EventType.TOOL_CALL: self._tell_call,
            EventType.TOOL_CALL_CHUNK: self._keep_call,
            EventType.TOOL_RESULT: self._tell_result,
            EventType.TOOL_RESULT_CHUNK: self._keep_result,
            EventType.USAGE: self._count,
            EventType.STATE: self._tell_state,
            EventType.HITL: self._ask,
            EventType.CUSTOM: self._tell_custom,
            EventType.ERROR: self._fail,
        }

    def tell(self, event: AgentEvent) -> None:
        """What an event means."""
        if event.event not in _PIECES:
            self._tell_calls(str(event.data.get("id")) if event.event == EventType.TOOL_CALL else None)
        if event.event != EventType.REASONING:
            self._thought = None
        if event.event in self._tellers:  # What is raw has no place in a task.
            self._tellers[event.event](event)

    def end(self) -> None:
        """The agent has nothing more to say."""
        self._tell_calls()
        for call_id in list(self._results):
            self._result(call_id, "", {})
        if self._question is None:
            self._task.set_state(COMPLETED, metadata=self._spent())
        else:
            self._task.set_state(INPUT_REQUIRED, self._task.message({"text": self._question}), self._spent())

    # The answer

    def _tell_text(self, event: AgentEvent) -> None:
        delta = str(event.data.get("delta") or "")
        if delta or event.addition:
            self._tell_part({"text": delta}, event)

    def _tell_part(self, part: Json, event: AgentEvent) -> None:
        is_new = self._answer is None
        if self._answer is None:
            self._answer = Growing(artifactId=str(uuid.uuid4()), name="answer")
            self._task.artifacts.append(self._answer)
        self._answer.add(part)
        artifact = {**self._answer.head, "parts": [part]}
        told = {**self._task.ids(), "artifact": artifact, "append": not is_new}
        self._task.tell({"artifactUpdate": with_addition(told, event)})

    # On the way

    def _tell_reasoning(self, event: AgentEvent) -> None:
        delta = str(event.data.get("delta") or "")
        if not delta:
            return
        message = self._task.message({"text": delta}, {"type": "reasoning"})
        if self._thought is None:
            self._thought = Growing(**{name: value for name, value in message.items() if name != "parts"})
            self._task.history.append(self._thought)
        self._thought.add({"text": delta})
        self._task.set_state(WORKING, {**message, **self._thought.head})

    def _note(self, kind: str, data: Any) -> None:
        message = self._task.message({"data": as_json(data)}, {"type": kind})
        self._task.history.append(message)
        self._task.set_state(WORKING, message)

    def _keep_call(self, event: AgentEvent) -> None:
        call_id = str(event.data.get("id") or "")
        call = self._calls.setdefault(call_id, {"name": self._names.get(call_id), "arguments": ""})
        call["name"] = str(event.data.get("name") or call["name"] or "")
        call["arguments"] += str(event.data.get("args_delta") or "")

    def _tell_call(self, event: AgentEvent) -> None:
        call_id = str(event.data.get("id") or "")
        pieces = self._calls.pop(call_id, None)
        if pieces is None and call_id in self._names:
            return  # It was told when its pieces were over.
        arguments = event.data.get("args") or (pieces or {}).get("arguments")
        self._call(call_id, str(event.data.get("name") or (pieces or {}).get("name") or ""), arguments)

    def _tell_calls(self, but: str | None = None) -> None:
        """Calls are told when they are whole: when something else comes."""
        for call_id in [found for found in self._calls if found != but]:
            self._call(call_id, **self._calls.pop(call_id))

    def _call(self, call_id: str, name: str, arguments: Any) -> None:
        self._names[call_id] = name
        self._note("tool_call", {"id": call_id, "name": name, "arguments": _parsed(arguments)})

    def _keep_result(self, event: AgentEvent) -> None:
        call_id = str(event.data.get("id") or "")
        self._results[call_id] = self._results.get(call_id, "") + str(event.data.get("delta") or "")

    def _tell_result(self, event: AgentEvent) -> None:
        found = event.data.get("content") if event.data.get("result") is None else event.data["result"]
        failed = {"isError": True} if event.data.get("is_error") else {}
        self._result(str(event.data.get("id") or ""), "" if found is None else as_text(found), failed)

    def _result(self, call_id: str, rest: str, failed: Json) -> None:
        result = self._results.pop(call_id, "") + rest
        self._note("tool_result", {"id": call_id, "name": self._names.get(call_id, ""), "result": result, **failed})

    def _tell_state(self, event: AgentEvent) -> None:
        self._note("state", event.data)

    def _tell_custom(self, event: AgentEvent) -> None:
        name, value = str(event.data.get("name") or "custom"), event.data.get("value")
        part = media_part(name, value)
        if part is None:
            self._note("custom", {"name": name, "value": value})
        else:
            self._tell_part(part, event)

    # How it ends

    def _ask(self, event: AgentEvent) -> None:
        self._question = str(event.data.get("prompt") or "")
        self._note("question", event.data)

    def _count(self, event: AgentEvent) -> None:
        for name, counted in (("inputTokens", "input_tokens"), ("outputTokens", "output_tokens")):
            self._usage[name] = self._usage.get(name, 0) + int(event.data.get(counted) or 0)

    def _spent(self) -> Json | None:
        if not self._usage:
            return None
        self._task.metadata = {**self._task.metadata, "usage": self._usage}
        return {"usage": self._usage}

    def _fail(self, event: AgentEvent) -> None:
        code = str(event.data.get("code") or "")
        message = self._task.message({"text": str(event.data.get("message"))}, {"code": code} if code else None)
        self._task.set_state(CANCELED if code == "CancelledError" else FAILED, message, self._spent())


def _parsed(arguments: Any) -> Any:
    """The arguments of a call as values, or as the text that they are where it is no JSON."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments) if arguments else {}
    except (ValueError, RecursionError):
        return arguments
