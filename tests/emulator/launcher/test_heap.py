"""Objects in the C library's heap: they are there, and go on as any others."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentrun.emulator.launcher import heap
from tests.emulator.launcher.children import in_child

COUNT = 20_000


def in_heap(thing: object) -> bool:
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= id(thing) < end:
            return line.endswith("[heap]")
    return False


def test_objects_are_made_there_and_only_while_it_lasts() -> None:
    def act() -> tuple[bool, bool]:
        with heap.in_one_piece():
            inside = [object() for _ in range(COUNT)]
        outside = [object() for _ in range(COUNT)]
        return all(map(in_heap, inside[::1000])), any(map(in_heap, outside[::1000]))

    there, later = in_child(act)
    if not there:
        pytest.skip("the C library has its heap elsewhere")
    assert not later


def test_they_are_resized_and_freed_afterwards() -> None:
    def act() -> int:
        with heap.in_one_piece():
            lists = [[number] for number in range(COUNT)]
            texts = {str(number): bytearray(40) for number in range(COUNT)}
        for number, each in enumerate(lists):
            each.extend(range(number % 50))
            texts[str(number)].extend(bytes(number % 500))
        total = sum(map(len, lists)) + sum(map(len, texts.values()))
        lists.clear()
        texts.clear()
        return total

    expected = sum(1 + number % 50 + 40 + number % 500 for number in range(COUNT))
    assert in_child(act) == expected


def test_with_no_gaps_left_everything_goes_on() -> None:
    def act() -> int:
        kept = [bytes(size) for size in range(1, 5000)]
        del kept[::2]
        heap.fill_gaps()
        return sum(map(len, [*kept, *(bytes(size) for size in range(1, 5000))]))

    assert in_child(act) == sum(range(2, 5000, 2)) + sum(range(1, 5000))
