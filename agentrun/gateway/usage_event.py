"""Takes the event with the usage out of a stream whose caller did not ask for it; the gateway did, to count."""

from __future__ import annotations

import json
from typing import Any

from agentrun._serving.values import is_object


class WithoutUsageEvent:
    """A filter; an event is held back only until it is whole."""

    def __init__(self) -> None:
        self._rest = b""

    async def feed(self, piece: bytes) -> bytes:
        """What of this piece, and of those before, may go on."""
        whole = self._rest + piece if self._rest else piece
        end = whole.rfind(b"\n\n") + 2
        if end < 2:
            self._rest = whole
            return b""
        self._rest = whole[end:]
        events = whole[:end]
        return _without(events) if b'"usage"' in events else events

    async def finish(self) -> bytes:
        """What is still to go on at the end."""
        rest, self._rest = self._rest, b""
        return rest


def _without(events: bytes) -> bytes:
    kept = [event for event in events.split(b"\n\n")[:-1] if not _is_usage(event)]
    return b"".join(event + b"\n\n" for event in kept)


def _is_usage(event: bytes) -> bool:
    """Whether an event has a usage and no choices: the one that `include_usage` adds."""
    if b'"usage"' not in event or not event.startswith(b"data:"):
        return False
    try:
        fields: Any = json.loads(event[5:])
    except ValueError:
        return False
    return is_object(fields) and bool(fields.get("usage")) and not fields.get("choices")
