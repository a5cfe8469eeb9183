"""The frames of a stream: numbered from 0 without gaps, and kept until somebody takes them."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any

from pydantic_core import PydanticSerializationError

from agentrun.server.events import AgentEvent
from agentrun.server.merging import with_addition
from agentrun.server.protocols.agent_api.model import Event, TextContent

# As pydantic writes it, in C.
_quoted = encode_basestring


class Frames:
    """What is to be sent.

    What was written before something failed has its numbers, so it stays until it is taken: else there were a gap.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._number = 0

    def add(self, event: Event) -> None:
        """Writes an object, which gets its number."""
        event.sequence_number = self._number
        self._lines.append(f"data: {to_json(event)}\n\n")
        self._number += 1

    def add_delta(self, layout: str, delta: str) -> None:
        """Writes a piece of text; a stream is made of these, so no model is built for them."""
        self._lines.append(f'data: {{"sequence_number":{self._number}{layout}{_quoted(delta)}}}\n\n')
        self._number += 1

    def add_raw(self, raw: Any) -> None:
        """Writes what an agent wants to be there as it is; it has no number."""
        line = raw if isinstance(raw, str) else f"data: {json.dumps(raw, ensure_ascii=False)}"
        self._lines.append(line.rstrip("\n") + "\n\n")

    def amend(self, event: AgentEvent) -> None:
        """Merges an event's addition into the last frame, which is what is sent of the event itself."""
        if not self._lines or not event.addition:
            return
        told = with_addition(json.loads(self._lines[-1].removeprefix("data: ")), event)
        self._lines[-1] = f"data: {json.dumps(told, ensure_ascii=False, separators=(',', ':'))}\n\n"

    def take(self) -> bytes:
        """All that was written and not yet taken.

        Half of a character that two pieces of text share is written as JSON's escape, as UTF-8 has no form for it.
        """
        lines, self._lines = self._lines, []
        return "".join(lines).encode("utf-8", "backslashreplace")


def layout_of(content: TextContent) -> str:
    """What stands between the number and the text in every piece of a content; the model says how it looks."""
    empty = content.model_copy(update={"sequence_number": 0, "text": ""})
    return to_json(empty).removeprefix('{"sequence_number":0').removesuffix('""}')


def to_json(event: Event) -> str:
    """An object as the wire has it: compact, with every field."""
    try:
        return event.model_dump_json()
    except PydanticSerializationError:  # Half a character; or what is no JSON at all, which fails here too.
        return json.dumps(event.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
