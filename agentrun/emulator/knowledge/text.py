"""Texts as the index takes them: cut into pieces, and the pieces into terms."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST_CHUNK = 800
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
# Where a paragraph that is too long may be cut, the best places first: lines, sentences of either script, words.
_CUTS = (
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?;])\s+|(?<=[\u3002\uff01\uff1f\uff1b])"),
    re.compile(r"\s+|(?<=[\uff0c\u3001])"),
)
# Scripts that are written without spaces between words.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORDS = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


def chunks(text: str) -> list[str]:
    """A text in pieces of at most 800 characters: whole paragraphs as far as they fit together, else parts of one."""
    pieces: list[str] = []
    for part in _parts(text):
        if pieces and len(pieces[-1]) + len(part) + 2 <= LONGEST_CHUNK:
            pieces[-1] = f"{pieces[-1]}\n\n{part}"
        else:
            pieces.append(part)
    return pieces


def _parts(text: str) -> Iterator[str]:
    for paragraph in _PARAGRAPHS.split(text.strip()):
        if paragraph.strip():
            yield from _cut(paragraph.strip(), 0)


def _cut(text: str, level: int) -> Iterator[str]:
    """A paragraph in parts that are short enough, cut at the best places that it has."""
    if len(text) <= LONGEST_CHUNK:
        yield text
    elif level == len(_CUTS):
        yield from (text[start : start + LONGEST_CHUNK] for start in range(0, len(text), LONGEST_CHUNK))
    else:
        for run in _packed(text, _CUTS[level]):
            yield from _cut(run, level + 1)


def _packed(text: str, cut: re.Pattern[str]) -> Iterator[str]:
    """A text cut at some of the places that a pattern finds, so that as much as fits stays together."""
    start = end = 0
    for place in (*cut.finditer(text), None):
        following = place.start() if place else len(text)
        if following - start > LONGEST_CHUNK and end > start:
            yield text[start:end].strip()
            start = end
        end = place.end() if place else following
    if text[start:].strip():
        yield text[start:].strip()


def terms(text: str) -> list[str]:
    """The words of a text; of scripts without spaces each character, and each two that stand together."""
    return [term for word in _WORDS.findall(text.lower()) for term in _terms_of(word)]


def query_terms(query: str) -> list[str]:
    """The distinct terms to look for; single characters only where one stands alone."""
    found = (pair for word in _WORDS.findall(query.lower()) for pair in _pairs(word) or [word])
    return list(dict.fromkeys(found))


def _terms_of(word: str) -> list[str]:
    return [*word, *_pairs(word)] if _IS_UNSPACED.match(word) else [word]


def _pairs(word: str) -> list[str]:
    return [word[at : at + 2] for at in range(len(word) - 1)] if _IS_UNSPACED.match(word) else []
