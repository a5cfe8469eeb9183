"""Whether an answer came whole that only the end of its connection ends: a break looks the same from outside."""

from __future__ import annotations

import json
import re

_MOST_KEPT = 8 * 2**20
_LAST_OF_STREAM = 64 * 1024
# What the last events of a stream say, in the protocols of models.
_END = re.compile(
    rb'\[DONE\]|"finish_reason"\s*:\s*"|"type"\s*:\s*"(?:response\.(?:completed|incomplete|failed)|error)"'
)


class Unframed:
    """Sees an answer pass; `media_type` says by what to judge it."""

    def __init__(self, media_type: bytes) -> None:
        self._is_stream = b"event-stream" in media_type
        self._is_json = b"json" in media_type
        self._seen = bytearray()
        self._all = True

    def feed(self, piece: bytes) -> None:
        """One more piece."""
        self._seen += piece
        most = _LAST_OF_STREAM if self._is_stream else _MOST_KEPT
        if len(self._seen) > most:
            del self._seen[:-most]
            self._all = False

    def looks_whole(self) -> bool:
        """Whether nothing speaks against its end being the end."""
        if self._is_stream:
            return _END.search(self._seen) is not None
        return not self._is_json or not self._all or _is_json(self._seen)


def _is_json(text: bytearray) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    except RecursionError:
        return True  # Too deep to be judged.
    return True
