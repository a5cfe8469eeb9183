"""Things that are kept until their time is over, and then cost no memory."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

# Each addition clears away more than it brings, and none of them has to clear away everything.
_MOST_AT_ONCE = 16


@dataclass
class Entry:
    """Something to be kept `until` a time, which may be moved; `due` is when it is looked at."""

    until: float
    due: float = math.inf


E = TypeVar("E", bound=Entry)


class Expiring(Generic[E]):
    """Entries by key, which go some time after they are over; who asks says what time it is."""

    def __init__(self) -> None:
        self._entries: dict[str, E] = {}
        self._due: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def get(self, key: str, now: float) -> E | None:
        """The entry under a key, unless it is over."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry.until > now else None

    def put(self, key: str, entry: E) -> None:
        """Keep an entry, in place of the one that was there."""
        self._entries[key] = entry
        self._schedule(key, entry)

    def pop(self, key: str) -> E | None:
        """Take an entry out, if it is there."""
        return self._entries.pop(key, None)

    def tidy(self, now: float) -> list[tuple[str, E]]:
        """Forget some of what is over, and say what."""
        gone: list[tuple[str, E]] = []
        for _ in range(_MOST_AT_ONCE):
            if not self._due or self._due[0][0] > now:
                break
            due, key = heapq.heappop(self._due)
            entry = self._entries.get(key)
            if entry is None or entry.due != due:
                continue  # Another one has taken its place.
            if entry.until > now:
                self._schedule(key, entry)
            else:
                gone.append((key, self._entries.pop(key)))
        return gone

    def _schedule(self, key: str, entry: E) -> None:
        if entry.until != math.inf:
            entry.due = entry.until
            heapq.heappush(self._due, (entry.due, key))
