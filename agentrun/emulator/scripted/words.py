"""The words of a text: what embeddings and rerank compare."""

from __future__ import annotations

import re

# Scripts that are written without spaces count by the character.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def words_of(text: str) -> list[str]:
    """Return the words without regard to case; a text without any is a word itself."""
    return _WORD.findall(text.casefold()) or [text]
