"""The frames of a stream: numbered from 0 without gaps, and kept until somebody takes them."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any

from agentrun.server.events import AgentEvent
from agentrun.server.merging import with_addition

_DATA = "data: "
# As pydantic writes it, in C.
quoted = encode_basestring


def encoded(text: str) -> bytes:
    """The bytes of some JSON; half of a character, as at the end of a piece, has no form in UTF-8 but one in JSON."""
    return text.encode("utf-8", "backslashreplace")


class NumberedFrames:
    """What is to be sent.

    What was written before something failed has its numbers, so it stays until it is taken: else there were a gap.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._number = 0

    def add_raw(self, raw: Any) -> None:
        """Writes what an agent wants to be there as it is; it has no number."""
        line = raw if isinstance(raw, str) else f"{_DATA}{json.dumps(raw, ensure_ascii=False)}"
        self._lines.append(line.rstrip("\n") + "\n\n")

    def amend(self, event: AgentEvent) -> None:
        """Merges an event's addition into the last frame, which is what is sent of the event itself."""
        if not self._lines or not event.addition:
            return
        head, _, document = self._lines[-1].partition(_DATA)
        told = with_addition(json.loads(document), event)
        self._lines[-1] = f"{head}{_DATA}{json.dumps(told, ensure_ascii=False, separators=(',', ':'))}\n\n"

    def take(self) -> bytes:
        """All that was written and not yet taken."""
        lines, self._lines = self._lines, []
        return encoded("".join(lines))
