"""Where services keep what they keep: shelves of entries, whatever the medium."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

DIGITS = 20
"""Numbers are keys of so many digits, so that their order is that of texts."""


class Shelf(NamedTuple):
    """A place for entries: what kind they are, whose, and the name it has among those of its owner."""

    kind: str
    owner: str
    name: str


class Entry(NamedTuple):
    """A text under a key; keys are in the order of their code points, which have to be ASCII."""

    key: str
    value: str


class Place(NamedTuple):
    """A shelf of an owner, and where it stands among them: in the order in which they were made."""

    position: int
    name: str


class Storage(Protocol):
    """Shelves, in memory or in a database; each method is atomic, over everybody who uses the same storage.

    A shelf is forgotten when it was neither read nor written for the time that the storage was made with. Methods
    block, and may be called by any thread; they raise StorageError when the medium cannot be reached.
    """

    waits: bool
    """Whether methods may wait for a disk or for others, so that an event loop must not call them itself."""

    def open(self) -> None:
        """Get ready; a storage that is open stays so."""
        ...

    def close(self) -> None:
        """Give up connections, and what is in memory only."""
        ...

    def ping(self) -> None:
        """Raise StorageError unless the storage can be used."""
        ...

    def create(self, shelf: Shelf) -> None:
        """Make a shelf; one that exists stays as it is."""
        ...

    def append(self, shelf: Shelf, values: Sequence[str], most: int | None = None) -> int:
        """Add entries after the last one, and say the number of the new last one; the oldest over `most` go."""
        ...

    def put(self, shelf: Shelf, entries: Mapping[str, str], *, replace: bool = True) -> None:
        """Set entries; without `replace` those that exist stay as they are."""
        ...

    def find(self, shelf: Shelf, key: str | None = None) -> Entry | None:
        """An entry, the last one without a key."""
        ...

    def read(self, shelf: Shelf) -> list[Entry] | None:
        """All entries in order, None when there is no such shelf."""
        ...

    def read_all(self, kind: str, owner: str) -> dict[str, list[Entry]]:
        """The entries of all shelves of an owner, in the order in which the shelves were made."""
        ...

    def drop(self, shelf: Shelf, keys: Sequence[str]) -> None:
        """Remove entries."""
        ...

    def delete(self, shelf: Shelf) -> None:
        """Remove a shelf and what is on it."""
        ...

    def shelves(self, kind: str, owner: str, after: int = 0, limit: int = 100) -> list[Place]:
        """The next shelves of an owner behind a position."""
        ...

    def owners(self, kind: str) -> list[str]:
        """Who has shelves of a kind, in no order."""
        ...


def numbered(number: int) -> str:
    """The key of a number."""
    return f"{number:0{DIGITS}d}"
