"""The frames of the Agent API: each is an object with every field."""

from __future__ import annotations

import json

from pydantic_core import PydanticSerializationError

from agentrun.server.protocols.agent_api.model import Event, TextContent
from agentrun.server.protocols.frames import NumberedFrames, quoted


class Frames(NumberedFrames):
    """What is to be sent of a response."""

    def add(self, event: Event) -> None:
        """Writes an object, which gets its number."""
        event.sequence_number = self._number
        self._lines.append(f"data: {to_json(event)}\n\n")
        self._number += 1

    def add_delta(self, layout: str, delta: str) -> None:
        """Writes a piece of text; a stream is made of these, so no model is built for them."""
        self._lines.append(f'data: {{"sequence_number":{self._number}{layout}{quoted(delta)}}}\n\n')
        self._number += 1


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
