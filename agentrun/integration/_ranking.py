"""Texts by how well they fit a query: BM25 over words, and vectors by their angle."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from operator import mul

# How soon a word that is repeated counts for no more, and how much long texts are held back: the usual values.
_K, _B = 1.2, 0.75
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ENDINGS = ("ings", "ing", "ies", "ied", "es", "ed", "s", "e")
_SHORTEST = 3


def words(text: str) -> list[str]:
    """The words of a text: names in any case are split, endings of English are cut, each CJK sign is a word."""
    return [_stem(word.lower()) for word in _WORDS.findall(text)]


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST:
            return word[: -len(ending)]
    return word


class KeywordIndex:
    """Texts that are searched by their words; each is given as its parts with their weights."""

    def __init__(self, texts: Iterable[Mapping[str, float]]) -> None:
        counted = [_weighed(parts) for parts in texts]
        self._lengths = [sum(counts.values()) for counts in counted]
        self._average = (sum(self._lengths) / len(self._lengths) if self._lengths else 0.0) or 1.0
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for position, counts in enumerate(counted):
            for word, count in counts.items():
                self._postings[word].append((position, count))

    def search(self, query: str, count: int) -> list[tuple[int, float]]:
        """The positions of the texts that fit best, with their scores; texts without any word of the query are none."""
        scores: dict[int, float] = defaultdict(float)
        for word in dict.fromkeys(words(query)):
            found = self._postings.get(word, ())
            rarity = math.log(1 + (len(self._lengths) - len(found) + 0.5) / (len(found) + 0.5))
            for position, times in found:
                held_back = _K * (1 - _B + _B * self._lengths[position] / self._average)
                scores[position] += rarity * times * (_K + 1) / (times + held_back)
        return nlargest(count, scores.items(), key=lambda item: (item[1], -item[0]))


def _weighed(parts: Mapping[str, float]) -> dict[str, float]:
    counts: dict[str, float] = defaultdict(float)
    for text, weight in parts.items():
        for word, times in Counter(words(text)).items():
            counts[word] += weight * times
    return counts


def unit(vector: Sequence[float]) -> list[float]:
    """A vector of the same direction and of length 1."""
    length = math.sqrt(sum(map(mul, vector, vector))) or 1.0
    return [value / length for value in vector]


def nearest_vectors(vectors: Sequence[Sequence[float]], query: Sequence[float], count: int) -> list[tuple[int, float]]:
    """The positions of the vectors whose directions are nearest, with the cosines; all of them are of length 1."""
    cosines = ((position, sum(map(mul, vector, query))) for position, vector in enumerate(vectors))
    return nlargest(count, cosines, key=lambda item: (item[1], -item[0]))
