"""Server-sent events as bytes: told apart wherever they were cut, and changed only where somebody wants that."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agentrun._core.values import is_object
from agentrun.gateway.call import dump

DONE = b"[DONE]"

_LONGEST_EVENT = 4 << 20
_END = re.compile(rb"\n\r?\n|\r\r")


class EventTooLongError(ValueError):
    """An event does not end."""


class EventSplitter:
    """Turns pieces of a stream into whole events, each with the empty line that ends it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that this piece completes; raises EventTooLongError after 4 MiB without one."""
        text = self._rest + piece
        # The end of an event is three bytes at most, so two of them may have come before.
        events, begin = list[bytes](), 0
        for end in _END.finditer(text, max(0, len(self._rest) - 2)):
            events.append(text[begin : end.end()])
            begin = end.end()
        self._rest = text[begin:]
        if len(self._rest) > _LONGEST_EVENT:
            raise EventTooLongError(f"an event is longer than {_LONGEST_EVENT} bytes")
        return events

    def end(self) -> list[bytes]:
        """The last event, when nobody sent the empty line behind it."""
        return self.feed(b"\n\n") if self._rest.strip() else []


def data_of(event: bytes) -> bytes:
    """The data of an event, empty when it has none."""
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


def fields_of(data: bytes) -> dict[str, Any] | None:
    """The object that an event carries, None when it is none."""
    try:
        fields: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return fields if is_object(fields) else None


def event_of(fields: Mapping[str, Any], kind: str = "") -> bytes:
    """An event that carries an object."""
    named = b"event: %b\n" % kind.encode() if kind else b""
    return b"%bdata: %b\n\n" % (named, dump(fields))


def rewritten(event: bytes, fields: Mapping[str, Any]) -> bytes:
    """An event with other data, and all else as it was."""
    kept = [line for line in event.splitlines() if line and not line.startswith(b"data:")]
    return b"\n".join([*kept, b"data: " + dump(fields), b"", b""])
