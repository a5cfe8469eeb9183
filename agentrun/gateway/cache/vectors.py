"""Texts as vectors: which one of a group is nearest to another."""

from __future__ import annotations

import importlib
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite, sqrt
from operator import mul
from typing import Any

from typing_extensions import Self


@dataclass(frozen=True)
class Vector:
    """A direction: numbers whose squares add up to one."""

    numbers: array[float]

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Self | None:
        """The direction of these numbers; None when they have none."""
        length = sqrt(sum(map(mul, numbers, numbers)))
        if not length or not isfinite(length):
            return None
        return cls(array("f", [number / length for number in numbers]))


@dataclass
class _Group:
    size: int
    rows: array[float] = field(default_factory=lambda: array("f"))
    names: list[str] = field(default_factory=list[str])

    def drop(self, name: str) -> None:
        if name in self.names:
            at = self.names.index(name)
            del self.names[at], self.rows[at * self.size : (at + 1) * self.size]


class VectorIndex:
    """Named vectors in groups; the oldest goes when there are more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._groups: dict[tuple[str, int], _Group] = {}
        self._order: deque[tuple[tuple[str, int], str]] = deque()

    def __len__(self) -> int:
        return sum(len(group.names) for group in self._groups.values())

    def add(self, group: str, vector: Vector, name: str) -> None:
        """Add a vector, unless its group has one of this name."""
        # Vectors of another length come from another model and compare with nothing here.
        key = (group, len(vector.numbers))
        entry = self._groups.setdefault(key, _Group(key[1]))
        if name not in entry.names:
            entry.names.append(name)
            entry.rows.extend(vector.numbers)
            self._order.append((key, name))
        while len(self._order) > self._most:
            self._drop(*self._order.popleft())

    def nearest(self, group: str, vector: Vector) -> tuple[str, float] | None:
        """The name of the nearest vector of a group, and the cosine of the angle to it."""
        entry = self._groups.get((group, len(vector.numbers)))
        if entry is None:
            return None
        cosines = products(entry.rows, vector.numbers)
        best = max(range(len(cosines)), key=cosines.__getitem__)
        return entry.names[best], cosines[best]

    def remove(self, group: str, vector: Vector, name: str) -> None:
        """Forget a vector of a group."""
        key = (group, len(vector.numbers))
        if (key, name) in self._order:
            self._order.remove((key, name))
            self._drop(key, name)

    def _drop(self, key: tuple[str, int], name: str) -> None:
        self._groups[key].drop(name)
        if not self._groups[key].names:
            del self._groups[key]


def products(rows: array[float], vector: array[float]) -> list[float]:
    """The product of each row with a vector of its length; by numpy where it is there."""
    numpy = _numpy()
    if numpy is None:
        return plain_products(rows, vector)
    matrix = numpy.frombuffer(rows, "f").reshape(-1, len(vector))
    found: list[float] = (matrix @ numpy.frombuffer(vector, "f")).tolist()
    return found


def plain_products(rows: array[float], vector: array[float]) -> list[float]:
    """The same without numpy: 7 ms for a thousand rows of 256."""
    size = len(vector)
    return [sum(map(mul, rows[at : at + size], vector)) for at in range(0, len(rows), size)]


@cache
def _numpy() -> Any:
    # It is two hundred times as fast; a gateway does without where it is not installed.
    try:
        return importlib.import_module("numpy")
    except ImportError:
        return None
