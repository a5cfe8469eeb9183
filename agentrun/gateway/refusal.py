"""An answer that a check refused, as clients of the protocols understand it: a finish reason, not an error.

The call was made and paid for. Clients take an error for something to try again; they know `content_filter` from
services that filter, and keep what they have.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from agentrun._serving.values import is_list, is_object
from agentrun.gateway.events import DONE, event_of

_REASON = "content_filter"
_INCOMPLETE = "response.incomplete"


def refused_answer(operation: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """A whole answer without what it says."""
    if operation == "responses":
        return _incomplete(answer)
    choices = answer.get("choices")
    return {**answer, "choices": [_emptied(choice) for choice in choices] if is_list(choices) else []}


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
        choices = event.get("choices")
        self._seen = event
        for choice in choices if is_list(choices) else []:
            index = choice.get("index", 0)
            self._open[index] = self._open.get(index, True) and not choice.get("finish_reason")

    def end(self, event: Mapping[str, Any] = MappingProxyType({})) -> bytes:
        """The last events; `event` is one that must not be sent, of which only the frame is used."""
        if self._operation == "responses":
            return self._end_of_response(event)
        left_out = ("choices", "usage", "error")
        head = {name: value for name, value in {**event, **self._seen}.items() if name not in left_out}
        still_open = [index for index, is_open in self._open.items() if is_open] if self._open else [0]
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


def _emptied(choice: Any) -> dict[str, Any]:
    if not is_object(choice):
        return {}
    emptied = {**choice, "logprobs": None, "finish_reason": _REASON}
    if "message" in choice:
        emptied["message"] = {"role": "assistant", "content": "", "refusal": None}
    if "text" in choice:
        emptied["text"] = ""
    return emptied
