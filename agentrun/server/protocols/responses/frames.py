"""The frames of a stream of a response, each with the name of its event."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from agentrun.integration._outcome import as_json
from agentrun.server.protocols.frames import NumberedFrames, quoted


class Layout(NamedTuple):
    """What stands before the number, and between it and the text, in every delta of a part."""

    head: str
    tail: str


class Frames(NumberedFrames):
    """What is to be sent of a response."""

    def add(self, kind: str, **fields: Any) -> None:
        """Writes an event, which gets its number."""
        body = {"type": kind, "sequence_number": self._number, **fields}
        self._lines.append(f"event: {kind}\ndata: {_json(body)}\n\n")
        self._number += 1

    def add_delta(self, layout: Layout, delta: str) -> None:
        """Writes a piece of text; a stream is made of these, so no document is built for them."""
        self._lines.append(f"{layout.head}{self._number}{layout.tail}{quoted(delta)}}}\n\n")
        self._number += 1


def layout_of(kind: str, **fields: Any) -> Layout:
    """How the deltas of an event of this kind look."""
    head = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":'
    return Layout(head, f',{_json(fields)[1:-1]},"delta":')


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=as_json)
