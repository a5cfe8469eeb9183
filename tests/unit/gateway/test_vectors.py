"""Vectors: the nearest one of a group, with and without numpy, and never more than there may be."""

from __future__ import annotations

import random
from math import inf, nan, sqrt

import pytest

from agentrun.gateway.cache.vectors import Vector, VectorIndex, plain_products, products


def vector(*numbers: float) -> Vector:
    made = Vector.of(numbers)
    assert made is not None
    return made


def test_the_nearest_is_found_with_the_cosine_of_its_angle() -> None:
    index = VectorIndex(10)
    index.add("g", vector(1, 0), "east")
    index.add("g", vector(0, 5), "north")
    index.add("other", vector(1, 1), "north-east")
    name, cosine = index.nearest("g", vector(3, 3.1)) or ("", 0)
    assert name == "north"
    assert cosine == pytest.approx(3.1 / sqrt(3**2 + 3.1**2), abs=1e-6)
    assert index.nearest("nobody", vector(1, 0)) is None
    assert index.nearest("g", vector(1, 0, 0)) is None


@pytest.mark.parametrize("numbers", [(), (0.0, 0.0), (nan, 1.0), (inf, 1.0), (1e200, 1e200)])
def test_what_has_no_direction_is_no_vector(numbers: tuple[float, ...]) -> None:
    assert Vector.of(numbers) is None


def test_numpy_comes_to_the_same() -> None:
    pytest.importorskip("numpy", reason="its products are compared with ours")
    some = random.Random(7)
    rows = [vector(*(some.gauss(0, 1) for _ in range(64))) for _ in range(50)]
    flat = rows[0].numbers[:0]
    for row in rows:
        flat.extend(row.numbers)
    assert products(flat, rows[3].numbers) == pytest.approx(plain_products(flat, rows[3].numbers), abs=1e-5)


def test_the_oldest_go_and_what_is_removed_is_gone() -> None:
    index = VectorIndex(3)
    for number in range(5):
        index.add(f"group {number % 2}", vector(1, number), str(number))
        index.add(f"group {number % 2}", vector(1, number), str(number))
    assert len(index) == 3
    name, cosine = index.nearest("group 0", vector(1, 0)) or ("", 0)
    assert name == "2"
    assert cosine == pytest.approx(1 / sqrt(5), abs=1e-6)
    index.remove("group 1", vector(1, 0), "3")
    index.remove("group 1", vector(1, 0), "3")
    assert index.nearest("group 1", vector(1, 3)) is None
    for number in range(5, 9):
        index.add("group 0", vector(1, number), str(number))
    assert len(index) == 3
