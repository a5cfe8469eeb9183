"""An answer that a check refused, as clients of the protocols understand it: a finish reason, not an error.

The call was made and paid for. Clients take an error for something to try again; they know `content_filter` from
services that filter, and keep what they have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentrun.gateway.safety.texts import choices_of
from agentrun.gateway.streaming.events import DONE, event_of

_REASON = "content_filter"
_INCOMPLETE = "response.incomplete"
_LEFT_OUT = ("choices", "usage", "error")


def refused_answer(operation: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """A whole answer without what it says."""
    if operation == "responses":
        return _incomplete(answer)
    return {**answer, "choices": [_emptied(choice) for choice in choices_of(answer)]}


class RefusedStream:
    """Ends a stream that a check refused; it has to see what was sent of it."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._seen: Mapping[str, Any] = {}
        self._open: dict[int, bool] = {}

    def note(self, event: Mapping[str, Any]) -> None:
        """One event that was sent."""
        if self._operation == "responses":
            self._seen = {**self._seen, **event}
            return
        self._seen = event
        for choice in choices_of(event):
            index = choice.get("index", 0)
            self._open[index] = self._open.get(index, True) and not choice.get("finish_reason")

    def end(self, waiting: Sequence[Mapping[str, Any]]) -> bytes:
        """The last events; `waiting` are those that must not be sent, of which only the frame is used."""
        frame: Mapping[str, Any] = waiting[0] if waiting else {}
        if self._operation == "responses":
            return self._end_of_response(frame)
        head = {name: value for name, value in {**frame, **self._seen}.items() if name not in _LEFT_OUT}
        indexes = [choice.get("index", 0) for event in waiting for choice in choices_of(event)]
        still_open = [index for index in sorted({*self._open, *indexes} or {0}) if self._open.get(index, True)]
        chunks = [event_of({**head, "choices": [self._last_choice(index)]}) for index in still_open]
        return b"".join([*chunks, b"data: %b\n\n" % DONE])

    def _last_choice(self, index: int) -> dict[str, Any]:
        said: dict[str, Any] = {"delta": {}} if self._operation == "chat/completions" else {"text": ""}
        return {"index": index, **said, "logprobs": None, "finish_reason": _REASON}

    def _end_of_response(self, event: Mapping[str, Any]) -> bytes:
        response = self._seen.get("response") or event.get("response") or {"object": "response"}
        number = int(self._seen.get("sequence_number", -1)) + 1
        fields = {"type": _INCOMPLETE, "sequence_number": number, "response": _incomplete(response)}
        return event_of(fields, _INCOMPLETE)


def _incomplete(response: Mapping[str, Any]) -> dict[str, Any]:
    return {**response, "status": "incomplete", "incomplete_details": {"reason": _REASON}, "output": []}


def _emptied(choice: Mapping[str, Any]) -> dict[str, Any]:
    emptied: dict[str, Any] = {**choice, "logprobs": None, "finish_reason": _REASON}
    if "message" in choice:
        emptied["message"] = {"role": "assistant", "content": "", "refusal": None}
    if "text" in choice:
        emptied["text"] = ""
    return emptied
