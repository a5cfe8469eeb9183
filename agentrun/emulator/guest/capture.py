"""Reading what a process writes: at once, so that it never waits, and with a bound on what is kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

LIMIT = 1024 * 1024
CHUNK = 65536
ROUNDS = 32  # more than a pipe holds: what was written before the call is taken, an endless writer does not hold us up


class PipeReader:
    """Hands everything that comes out of a pipe to `sink`, as soon as it comes."""

    def __init__(self, descriptor: int, sink: Callable[[bytes], None]) -> None:
        self._descriptor = descriptor
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read_once)

    def drain(self) -> None:
        """Hand over everything written until now."""
        for _ in range(ROUNDS):
            if not self._read_once():
                break

    def close(self) -> None:
        """Stop reading; a process that still writes gets SIGPIPE."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _read_once(self) -> bool:
        """Read what is there, once; whether there may be more."""
        if self._descriptor < 0:
            return False
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._descriptor)
            return False
        self._sink(data)
        return len(data) == CHUNK  # a shorter read has emptied the pipe


class Capture:
    """Keeps what comes out of a pipe; its writing end is `writer`, to be handed to a process and then closed here."""

    def __init__(self, limit: int = LIMIT) -> None:
        reader, self.writer = os.pipe2(os.O_CLOEXEC)
        self._pipe = PipeReader(reader, self._keep)
        self._limit = limit
        self._kept = bytearray()
        self._dropped = 0

    def close_writer(self) -> None:
        """Leave the writing end to the process."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def take(self) -> str:
        """Everything written until now, as text; what exceeded the limit is replaced by a marker."""
        self._pipe.drain()
        text = self._kept.decode("utf-8", "replace")
        if self._dropped:
            text += drop_mark(self._dropped, self._limit)
        self._kept.clear()
        self._dropped = 0
        return text

    def close(self) -> None:
        """Stop reading; a process that still writes gets SIGPIPE."""
        self.close_writer()
        self._pipe.close()

    def _keep(self, data: bytes) -> None:
        room = max(0, self._limit - len(self._kept))
        self._kept += data[:room]
        self._dropped += len(data) - len(data[:room])


def drop_mark(dropped: int, limit: int) -> str:
    """What stands where output was cut off."""
    return f"\n... [{dropped} more bytes of output were dropped: the limit is {limit} bytes]\n"
