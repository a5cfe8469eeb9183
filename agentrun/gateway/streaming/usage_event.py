"""Takes the event with the usage out of a stream whose caller did not ask for it; the gateway did, to count."""

from __future__ import annotations

import json
import re
from typing import Any

from agentrun._core.values import is_object
from agentrun.gateway.streaming.whole_events import WholeEvents

_EVENT = re.compile(rb".+?(?:\n\r?\n|\r\r|\Z)", re.DOTALL)


class WithoutUsageEvent:
    """A filter; an event is held back only until it is whole."""

    ended = False

    def __init__(self) -> None:
        self._events = WholeEvents()

    async def feed(self, piece: bytes) -> bytes:
        """What of this piece, and of those before, may go on."""
        return _without(self._events.feed(piece))

    async def finish(self) -> bytes:
        """What is still to go on at the end."""
        return _without(self._events.finish())


def _without(events: bytes) -> bytes:
    if b'"usage"' not in events:
        return events
    return b"".join(event for event in _EVENT.findall(events) if not _is_usage(event))


def _is_usage(event: bytes) -> bool:
    """Whether an event has a usage and no choices: the one that `include_usage` adds."""
    data = b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    try:
        fields: Any = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return is_object(fields) and bool(fields.get("usage")) and not fields.get("choices")
