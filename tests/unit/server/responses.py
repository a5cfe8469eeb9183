"""Streams of responses as they are sent, and the rules that all of them keep."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.unit.server.serving import Served

RESPONSES = "/openai/v1/responses"
_VERSION = tuple(int(part) for part in openai.__version__.split(".")[:2])
CURRENT = _VERSION >= (3, 0)  # Whose types describe everything that is sent.
needs_methods = pytest.mark.skipif(_VERSION < (1, 100), reason="this openai has no methods for the background")
needs_helper = pytest.mark.skipif(
    _VERSION < (1, 75), reason="the stream helper of this openai fails at outputs of calls"
)
ENDS = ("response.completed", "response.incomplete", "response.failed")
_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_DELTAS = {
    "response.output_text.delta": "text",
    "response.reasoning_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
}


def told(served: Served, **fields: Any) -> list[dict[str, Any]]:
    """The events of the stream of a response, after they were held against the rules."""
    answer = served.post(RESPONSES, {"input": "hi", "stream": True, **fields})
    assert answer.status_code == 200, answer.text
    return checked(answer.text)


def whole(served: Served, **fields: Any) -> dict[str, Any]:
    """A response in one piece."""
    answer = served.post(RESPONSES, {"input": "hi", **fields})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    _check_types(TypeAdapter(Response), document)
    return document


def both(served: Served) -> list[dict[str, Any]]:
    """The output of a response; it is the same whether it was streamed or not, but for the ids."""
    streamed = told(served)[-1]["response"]["output"]
    assert [_without_id(item) for item in streamed] == [_without_id(item) for item in whole(served)["output"]]
    return [_without_id(item) for item in streamed]


def _without_id(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "id"}


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream, each of which says twice what it is."""
    frames = text.split("\n\n")
    assert frames.pop() == ""
    found: list[dict[str, Any]] = []
    for frame in frames:
        name, data = frame.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def checked(text: str) -> list[dict[str, Any]]:
    """The events of a whole stream: numbers without gaps, a beginning, one end, and items that come to the output."""
    events = events_of(text)
    kinds = [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert [kind for kind in kinds if kind in ENDS] == [kinds[-1]]
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    assert events[-1]["response"]["output"] == _items(events[2:-1])
    for event in events:
        _check_types(_EVENT, event)
    return events


def _check_types(types: TypeAdapter[Any], document: dict[str, Any]) -> None:
    """The client's types describe what is sent; sound and files are parts that only this server has."""
    if CURRENT and not any(kind in json.dumps(document) for kind in ("output_audio", "output_file")):
        types.validate_python(document)


def _items(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items that a stream tells, each of which begins, has its parts and ends once."""
    items: list[_Item] = []
    for event in events:
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(items)
            items.append(_Item(event["item"]))
        else:
            items[int(event["output_index"])].read(event)
    assert all(item.done is not None for item in items)
    return [item.done for item in items]


class _Item:
    def __init__(self, item: dict[str, Any]) -> None:
        assert item.get("status") == "in_progress"
        self.id = item["id"]
        self.done: Any = None
        self._parts: list[dict[str, Any]] = []
        self._said = ""

    def read(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        assert self.done is None
        if kind == "response.output_item.done":
            self.done = event["item"]
            assert self.done["id"] == self.id
            assert self.done.get("content", self._parts) == self._parts
            assert self.done.get("arguments", self._said) == self._said
            return
        assert event["item_id"] == self.id
        if "content_index" in event:
            is_new = kind == "response.content_part.added"
            assert event["content_index"] == len(self._parts) - (not is_new)
        self._read_text(kind, event)

    def _read_text(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "response.content_part.added":
            self._parts.append(event["part"])
            self._said = ""
        elif kind == "response.content_part.done":
            self._parts[-1] = event["part"]
            assert self._said in ("", event["part"].get("text"), event["part"].get("refusal"))
        elif kind in _DELTAS:
            self._said += event["delta"]
        elif kind.replace(".done", ".delta") in _DELTAS:
            self._said = _joined(self._said)
            assert event[_DELTAS[kind.replace(".done", ".delta")]] == self._said


def _joined(text: str) -> str:
    """A text in which the halves of a character that came apart are one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")
