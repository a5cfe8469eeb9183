"""Undoes the compression of an answer that nobody asked to be compressed."""

from __future__ import annotations

import zlib
from typing import Protocol

from agentrun._serving.upstream import UpstreamError

_MOST_AT_ONCE = 256 * 1024
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_KNOWN = (b"gzip", b"x-gzip", b"deflate")


class _Inflater(Protocol):
    """What `zlib.decompressobj` gives, whose type has no public name."""

    @property
    def eof(self) -> bool: ...

    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def decoder(encoding: bytes) -> Decoder | None:
    """What undoes an encoding, None for one that is unknown."""
    return Decoder() if encoding.strip().lower() in _KNOWN else None


class Decoder:
    """Takes compressed pieces and gives the text, in parts of a bounded size."""

    def __init__(self) -> None:
        self._inflater: _Inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._text = b""

    @property
    def has_more(self) -> bool:
        """Whether there is text for which no further piece is needed."""
        return bool(self._text or self._inflater.unconsumed_tail)

    @property
    def is_whole(self) -> bool:
        """Whether the end has come."""
        return self._inflater.eof

    def feed(self, piece: bytes) -> None:
        """Take one more piece, when there is nothing left of the one before. Raises UpstreamError."""
        if self._inflater.eof:
            return
        try:
            self._text = self._inflater.decompress(piece, _MOST_AT_ONCE)
        except zlib.error as error:
            raise UpstreamError(f"its answer is not compressed as it says ({error})") from error

    def take(self) -> bytes:
        """The next part of the text, empty when another piece is needed. Raises UpstreamError."""
        if not self._text and self._inflater.unconsumed_tail:
            self.feed(self._inflater.unconsumed_tail)
        text, self._text = self._text, b""
        return text
