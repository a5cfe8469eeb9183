"""Capturing what a process writes, with a bound on what is kept and none on what may be written."""

from __future__ import annotations

import asyncio
import os

LIMIT = 1024 * 1024
CHUNK = 65536
ROUNDS = 32  # more than a pipe holds: what was written before the call is taken, an endless writer does not hold us up


class Capture:
    """The reading end of a pipe; the writing end is `writer`, to be handed to a process and then closed here."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)
        self._limit = limit
        self._kept = bytearray()
        self._dropped = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reader, self._read_once)

    def close_writer(self) -> None:
        """Leave the writing end to the process."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def take(self) -> str:
        """Everything written until now, as text; what exceeded the limit is replaced by a marker."""
        for _ in range(ROUNDS):
            if not self._read_once():
                break
        text = self._kept.decode("utf-8", "replace")
        if self._dropped:
            text += f"\n... [{self._dropped} more bytes of output were dropped: the limit is {self._limit} bytes]\n"
        self._kept.clear()
        self._dropped = 0
        return text

    def close(self) -> None:
        """Stop reading; a process that still writes gets SIGPIPE."""
        self.close_writer()
        if self._reader >= 0:
            self._loop.remove_reader(self._reader)
            os.close(self._reader)
            self._reader = -1

    def _read_once(self) -> bool:
        """Read what is there, once; whether there was anything."""
        if self._reader < 0:
            return False
        try:
            data = os.read(self._reader, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._reader)
            return False
        room = max(0, self._limit - len(self._kept))
        self._kept += data[:room]
        self._dropped += len(data) - len(data[:room])
        return True
