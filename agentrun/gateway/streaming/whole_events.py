"""Passes events of a stream on only when they are whole, so that an error can follow wherever the stream is cut."""

from __future__ import annotations

# A longer one is passed on in parts.
_LONGEST_EVENT = 256 * 1024
_ENDS = (b"\n\n", b"\n\r\n", b"\r\r")


def end_of_events(text: bytes) -> int:
    """Where the last whole event of a text ends, 0 when there is none."""
    return max(found + len(end) if (found := text.rfind(end)) >= 0 else 0 for end in _ENDS)


class WholeEvents:
    """The same bytes as came, cut between events; `inside` says that a part of an event was passed on already."""

    def __init__(self) -> None:
        self.inside = False
        self._rest = b""

    def feed(self, piece: bytes) -> bytes:
        """What may go on of this piece, and of those before."""
        if not self._rest and piece.endswith(_ENDS):
            self.inside = False
            return piece
        text = self._rest + piece
        end = end_of_events(text)
        if len(text) - end > _LONGEST_EVENT:
            self._rest, self.inside = b"", True
            return text
        self._rest = text[end:]
        self.inside = self.inside and not end
        return text[:end]

    def finish(self) -> bytes:
        """What is left of a stream that has ended."""
        rest, self._rest = self._rest, b""
        return rest
