"""What a call has used, in tokens: read of an answer on its way, or estimated where the answer does not say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrun._serving.values import is_object

_LONGEST_EVENT = 1 << 20
_BYTES_PER_TOKEN = 4


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


def read_usage(answer: Any) -> Usage | None:
    """The usage of an answer or an event, whichever of the protocols it belongs to; None when it has none."""
    fields = _object(answer)
    found = _object(fields.get("usage")) or _object(_object(fields.get("response")).get("usage"))
    if not found:
        return None
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
    """Reads the usage of a stream of events as its pieces pass, wherever they are cut."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.events = 0
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        """Look at one more piece."""
        self.events += piece.count(b"data:")
        end = piece.rfind(b"\n\n")
        if end < 0:
            self._tail = (self._tail + piece)[-_LONGEST_EVENT:]
            return
        if b'"usage"' in piece or b'"usage"' in self._tail or self._tail:
            self._read(self._tail + piece[:end])
        self._tail = piece[end + 2 :]

    def _read(self, events: bytes) -> None:
        if b'"usage"' not in events:
            return
        for line in events.split(b"\n"):
            if line.startswith(b"data:") and b'"usage"' in line:
                self.usage = _usage_of_event(line[5:]) or self.usage


def _usage_of_event(data: bytes) -> Usage | None:
    try:
        return read_usage(json.loads(data))
    except ValueError:
        return None
