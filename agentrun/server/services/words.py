"""Texts found by the words of a question, whatever the language."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

# Scripts that put no space between words; there, two letters in a row say about what a word says elsewhere.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUNS = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+")


class Found(NamedTuple):
    """How well a text answers, and which one it is."""

    weight: float
    place: int


def words_of(text: str) -> set[str]:
    """The words of a text in small letters, and of what has no words between spaces each two letters in a row."""
    found: set[str] = set()
    for run in _RUNS.findall(text.casefold()):
        is_unspaced = re.match(f"[{_UNSPACED}]", run) and len(run) > 1
        found |= {run[place : place + 2] for place in range(len(run) - 1)} if is_unspaced else {run}
    return found


def ranked(texts: Sequence[str], question: str) -> list[Found]:
    """The texts that hold some of the words of a question: what holds most is first, and rare words count more.

    Of those that hold as much, the last one is first.
    """
    words = sorted(words_of(question))
    held = [[word for word in words if word in text] for text in map(str.casefold, texts)]
    counts = Counter(word for each in held for word in each)
    weights = {word: math.log1p(len(texts) / count) for word, count in counts.items()}
    found = [Found(sum(weights[word] for word in each), place) for place, each in enumerate(held) if each]
    return sorted(found, reverse=True)
