"""Texts replaced in bytes that come in pieces, wherever the pieces were cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


class Replacer:
    """Replaces each of some texts by what `replace` gives for it; at most one text less a byte is held back.

    What is held back is only an end that may be the beginning of one of them, so that a stream is not delayed.
    """

    def __init__(self, texts: Iterable[bytes], replace: Callable[[bytes], bytes]) -> None:
        self._texts = sorted(set(texts), key=len, reverse=True)
        self._replace = replace
        self._pattern = re.compile(b"|".join(map(re.escape, self._texts)) or rb"(?!)")
        self._first = {text[0] for text in self._texts}
        self._longest = max(map(len, self._texts), default=0)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What is certain of all that came so far."""
        data = self._held + data
        undecided = self._undecided(data)
        done, at = self._replaced(data, undecided)
        end = max(at, undecided)
        self._held = data[end:]
        return done + data[at:end]

    def end(self) -> bytes:
        """The rest, when nothing more comes."""
        data, self._held = self._held, b""
        done, at = self._replaced(data, len(data))
        return done + data[at:]

    def whole(self, data: bytes) -> bytes:
        """The same for something that came whole."""
        return self.feed(data) + self.end()

    def _replaced(self, data: bytes, limit: int) -> tuple[bytes, int]:
        parts: list[bytes] = []
        at = 0
        for found in self._pattern.finditer(data):
            if found.start() >= limit:
                break
            parts += [data[at : found.start()], self._replace(found[0])]
            at = found.end()
        return b"".join(parts), at

    def _undecided(self, data: bytes) -> int:
        """Where an end begins that more bytes could make one of the texts."""
        for start in range(max(0, len(data) - self._longest + 1), len(data)):
            if data[start] in self._first:
                tail = data[start:]
                if any(len(text) > len(tail) and text.startswith(tail) for text in self._texts):
                    return start
        return len(data)
