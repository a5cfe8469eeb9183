"""How requests are divided between versions: exactly as the weights say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from agentrun.emulator.control.endpoints import Turns, weights


def routing(*shares: tuple[str, float], **more: Any) -> dict[str, Any]:
    return {"routingConfiguration": {"versionWeights": [{"version": v, "weight": w} for v, w in shares]}, **more}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, {"LATEST": 1.0}),
        ({"targetVersion": "3"}, {"3": 1.0}),
        (routing(("2", 0.25), targetVersion="1"), {"2": 0.25, "1": 0.75}),
        (routing(("2", 1.0), targetVersion="1"), {"2": 1.0}),
        (routing(("2", 0.5), ("1", 0.25), targetVersion="1"), {"2": 0.5, "1": 0.5}),
        (routing(("2", 0.0), targetVersion="1"), {"1": 1.0}),
        (routing(("1", 90.0), ("2", 10.0)), {"1": 90.0, "2": 10.0}),
        (routing(targetVersion="1"), {"1": 1.0}),
    ],
)
def test_weights_are_shares_and_the_rest_is_the_targets(document: dict[str, Any], expected: dict[str, float]) -> None:
    assert weights(document) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"1": 0.9, "2": 0.1}, {"1": 900, "2": 100}),
        (weights(routing(("2", 0.1), targetVersion="1")), {"1": 900, "2": 100}),
        ({"1": 90.0, "2": 10.0}, {"1": 900, "2": 100}),
        ({"1": 0.5, "2": 0.3, "3": 0.2}, {"1": 500, "2": 300, "3": 200}),
        ({"1": 0.999, "2": 0.001}, {"1": 999, "2": 1}),
        ({"1": 1.0}, {"1": 1000}),
        ({"1": 0.7, "2": 0.1, "3": 0.1, "4": 0.1}, {"1": 700, "2": 100, "3": 100, "4": 100}),
    ],
)
def test_a_thousand_turns_are_exact(shares: dict[str, float], expected: dict[str, int]) -> None:
    turns = Turns()
    assert Counter(turns.next(shares) for _ in range(1000)) == expected


def test_turns_are_even_at_any_time() -> None:
    turns, seen = Turns(), Counter[str]()
    for number in range(1, 1001):
        seen[turns.next({"1": 0.9, "2": 0.1})] += 1
        assert abs(seen["2"] - number * 0.1) <= 1


def test_turns_follow_a_change_of_weights() -> None:
    turns = Turns()
    for _ in range(7):
        turns.next({"1": 0.9, "2": 0.1})
    assert Counter(turns.next({"2": 0.5, "3": 0.5}) for _ in range(100)) == {"2": 50, "3": 50}
