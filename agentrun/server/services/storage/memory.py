"""What one process keeps in its memory, until it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from agentrun.server.services.storage.base import Entry, Place, Shelf, numbered

# Looking through everything costs little when it is done this seldom.
_WRITES_BETWEEN_SWEEPS = 256


@dataclass
class _Kept:
    """What is on a shelf, and its last key, which is empty when there is none."""

    position: int
    until: float
    entries: dict[str, str] = field(default_factory=dict[str, str])
    last: str = ""

    def sorted(self) -> list[Entry]:
        return [Entry(key, self.entries[key]) for key in sorted(self.entries)]

    def add(self, entries: Mapping[str, str]) -> None:
        self.entries.update(entries)
        self.last = max(self.last, max(entries, default=""))

    def drop(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.entries.pop(key, None)
        if self.last not in self.entries:
            self.last = max(self.entries, default="")


class MemoryStorage:
    """Shelves in memory; `clock` gives seconds that only go forward."""

    waits = False

    def __init__(self, ttl_seconds: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl = math.inf if ttl_seconds is None else ttl_seconds
        self._clock = clock
        self._lock = Lock()
        self._owners: dict[tuple[str, str], dict[str, _Kept]] = {}
        self._positions = 0
        self._writes = 0

    def open(self) -> None:
        """Get ready; a storage that is open stays so."""

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._owners.clear()

    def ping(self) -> None:
        """Raise StorageError unless the storage can be used; memory always can."""

    @property
    def size(self) -> int:
        """How many shelves there are, those that are over and not yet cleared away included."""
        return sum(map(len, self._owners.values()))

    def create(self, shelf: Shelf) -> None:
        """Make a shelf; one that exists stays as it is."""
        with self._lock:
            self._make(shelf)

    def append(self, shelf: Shelf, values: Sequence[str], most: int | None = None) -> int:
        """Add entries after the last one, and say the number of the new last one; the oldest over `most` go."""
        with self._lock:
            kept = self._make(shelf)
            last = int(kept.last or 0)
            kept.add({numbered(last + place): value for place, value in enumerate(values, 1)})
            if most is not None and len(kept.entries) > most:
                kept.drop(sorted(kept.entries)[: len(kept.entries) - most])
            return last + len(values)

    def put(self, shelf: Shelf, entries: Mapping[str, str], *, replace: bool = True) -> None:
        """Set entries; without `replace` those that exist stay as they are."""
        with self._lock:
            kept = self._make(shelf)
            kept.add({key: entries[key] for key in entries if replace or key not in kept.entries})

    def find(self, shelf: Shelf, key: str | None = None) -> Entry | None:
        """An entry, the last one without a key."""
        with self._lock:
            kept = self._get(shelf)
            if kept is None:
                return None
            key = kept.last if key is None else key
            return Entry(key, kept.entries[key]) if key in kept.entries else None

    def read(self, shelf: Shelf) -> list[Entry] | None:
        """All entries in order, None when there is no such shelf."""
        with self._lock:
            kept = self._get(shelf)
            return kept.sorted() if kept else None

    def read_all(self, kind: str, owner: str) -> dict[str, list[Entry]]:
        """The entries of all shelves of an owner, in the order in which the shelves were made."""
        with self._lock:
            names = list(self._owners.get((kind, owner), ()))
            found = {name: self._get(Shelf(kind, owner, name)) for name in names}
            return {name: kept.sorted() for name, kept in found.items() if kept}

    def drop(self, shelf: Shelf, keys: Sequence[str]) -> None:
        """Remove entries."""
        with self._lock:
            if kept := self._get(shelf):
                kept.drop(keys)

    def delete(self, shelf: Shelf) -> None:
        """Remove a shelf and what is on it."""
        with self._lock:
            self._forget(shelf)

    def shelves(self, kind: str, owner: str, after: int = 0, limit: int = 100) -> list[Place]:
        """The next shelves of an owner behind a position."""
        with self._lock:
            now = self._clock()
            places = [
                Place(kept.position, name)
                for name, kept in self._owners.get((kind, owner), {}).items()
                if kept.until > now and kept.position > after
            ]
            return places[:limit]

    def owners(self, kind: str) -> list[str]:
        """Who has shelves of a kind, in no order."""
        with self._lock:
            now = self._clock()
            return [
                owner
                for (each, owner), shelves in self._owners.items()
                if each == kind and any(kept.until > now for kept in shelves.values())
            ]

    def _get(self, shelf: Shelf) -> _Kept | None:
        """What is on a shelf, which is kept for longer now."""
        now = self._clock()
        kept = self._owners.get((shelf.kind, shelf.owner), {}).get(shelf.name)
        if kept is None or kept.until <= now:
            return None
        kept.until = now + self._ttl
        return kept

    def _make(self, shelf: Shelf) -> _Kept:
        self._sweep()
        kept = self._get(shelf)
        if kept is None:
            self._forget(shelf)  # One that is over has its place at another position.
            self._positions += 1
            kept = _Kept(self._positions, self._clock() + self._ttl)
            self._owners.setdefault((shelf.kind, shelf.owner), {})[shelf.name] = kept
        return kept

    def _forget(self, shelf: Shelf) -> None:
        shelves = self._owners.get((shelf.kind, shelf.owner), {})
        shelves.pop(shelf.name, None)
        if not shelves:
            self._owners.pop((shelf.kind, shelf.owner), None)

    def _sweep(self) -> None:
        self._writes += 1
        if self._ttl == math.inf or self._writes % _WRITES_BETWEEN_SWEEPS:
            return
        now = self._clock()
        over = [
            Shelf(kind, owner, name)
            for (kind, owner), shelves in self._owners.items()
            for name, kept in shelves.items()
            if kept.until <= now
        ]
        for shelf in over:
            self._forget(shelf)
