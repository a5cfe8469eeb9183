"""What models answer, in the protocol of OpenAI."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.unit.servers import Behaviour, answer, stream

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
COMPLETION: Mapping[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
JSON = {"content-type": "application/json"}
DONE = b"data: [DONE]\n\n"


def completion(text: str = "hello", **more: Any) -> Behaviour:
    """A proper answer that says this."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return answer({**COMPLETION, "choices": [choice], **more}, headers=JSON)


def refusal(status: int, text: str = "not now", headers: Mapping[str, str] | None = None) -> Behaviour:
    """An error as OpenAI tells it."""
    error = {"error": {"message": text, "type": "x", "param": None, "code": "refused"}}
    return answer(error, status, {**JSON, **(headers or {})})


def event(fields: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(fields).encode()


def chunk_of(text: str, finish: str | None = None) -> bytes:
    """The event that says so much."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]})


USAGE_EVENT = event(
    {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [], "usage": USAGE}
)
WORDS = ("one ", "two ", "three")
EVENTS = (*map(chunk_of, WORDS), chunk_of("", "stop"), USAGE_EVENT, DONE)
STREAM = b"".join(EVENTS)


def streamed(pieces: Iterable[bytes] = EVENTS, pause: float = 0.0) -> Behaviour:
    """A proper stream."""
    return stream(*pieces, pause=pause)
