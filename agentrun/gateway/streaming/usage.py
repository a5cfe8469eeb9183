"""What a call has used, in tokens: read of an answer on its way, or estimated where the answer does not say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrun._core.values import is_object
from agentrun.gateway.streaming.whole_events import end_of_events

# An event of a usage is short, and in those that hold a whole answer it is near the end.
_LONGEST_TAIL = 64 * 1024
_BYTES_PER_TOKEN = 4
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Usage:
    """Tokens of one call; `cached` are those of the prompt that the model had seen before."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        """Prompt and completion together."""
        return self.prompt + self.completion


def estimate_tokens(size: int) -> int:
    """About how many tokens so many bytes of text are."""
    return (size + _BYTES_PER_TOKEN - 1) // _BYTES_PER_TOKEN


def find_usage(answer: bytes) -> Usage | None:
    """The last usage in an answer or in events of a stream, whichever of the protocols they belong to.

    Only the object itself is decoded: answers may be long, and its name cannot stand inside of a string, where its
    quotes would be escaped.
    """
    found = next(reversed([*_USAGE.finditer(answer)]), None)
    if found is None:
        return None
    try:
        fields, _ = _DECODER.raw_decode(answer[found.end() - 1 :].decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return _read(fields)


def _read(found: Mapping[str, Any]) -> Usage:
    prompt = _count(found, "prompt_tokens", "input_tokens")
    completion = _count(found, "completion_tokens", "output_tokens")
    details = _object(found.get("prompt_tokens_details")) or _object(found.get("input_tokens_details"))
    if not prompt and not completion:
        prompt = _count(found, "total_tokens")
    return Usage(prompt, completion, _count(details, "cached_tokens"))


def _object(value: Any) -> Mapping[str, Any]:
    return value if is_object(value) else {}


def _count(fields: Mapping[str, Any], *names: str) -> int:
    return next((value for name in names if isinstance(value := fields.get(name), int) and value > 0), 0)


class StreamUsage:
    """Reads the usage of an answer as its pieces pass, wherever they are cut; `events` counts those of a stream."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.events = 0
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        """Look at one more piece."""
        if self._tail:
            piece = self._tail + piece
        end = end_of_events(piece)
        if end:
            self._look(piece[:end])
        self._tail = piece[end:][-_LONGEST_TAIL:]

    def finish(self) -> Usage | None:
        """The usage, also when nothing ended the last event."""
        self._look(self._tail)
        self._tail = b""
        return self.usage

    def _look(self, events: bytes) -> None:
        self.events += events.count(b"\ndata:") + events.startswith(b"data:")
        if b'"usage"' in events:
            self.usage = find_usage(events) or self.usage
