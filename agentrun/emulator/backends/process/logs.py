"""What a running thing wrote: the last lines, within bounds, and optionally all of it in a file."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import BinaryIO

MAX_LINES = 10_000
MAX_BYTES = 8 * 1024 * 1024
MAX_LINE = 16 * 1024
CUT_MARK = b" ... [line cut]"


class Log:
    """The last lines of stdout and stderr; whatever is written, the memory it takes stays bounded."""

    def __init__(self, file: Path | None = None, *, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES) -> None:
        self.max_lines = max_lines
        self.max_bytes = max_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._partial = bytearray()
        self._file: BinaryIO | None = file.open("ab", buffering=0) if file else None

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrive; a line is kept once it is complete."""
        if self._file is not None:
            self._file.write(data)
        *complete, rest = data.split(b"\n")
        for piece in complete:
            self._extend(piece)
            self._keep(bytes(self._partial))
            self._partial.clear()
        self._extend(rest)

    def close(self) -> None:
        """Keep the last unfinished line and close the file."""
        if self._partial:
            self._keep(bytes(self._partial))
            self._partial.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def lines(self, tail: int | None = None) -> list[str]:
        """The last `tail` lines, oldest first; all that are kept when it is None."""
        kept = list(self._lines)
        if self._partial:
            kept.append(bytes(self._partial))
        chosen = kept if tail is None else kept[max(0, len(kept) - tail) :]
        return [line.decode("utf-8", "replace").rstrip("\r") for line in chosen]

    def _extend(self, piece: bytes) -> None:
        """Add to the unfinished line; one that grows past the limit is cut and says so."""
        room = MAX_LINE - len(self._partial)
        if room > 0:
            self._partial += piece[:room]
            if len(piece) > room:
                self._partial += CUT_MARK

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        while len(self._lines) > self.max_lines or self._bytes > self.max_bytes:
            self._bytes -= len(self._lines.popleft())
