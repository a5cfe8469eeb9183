"""Bytes on their way into a file, written at a pace at which nobody else has to wait."""

from __future__ import annotations

import time

from agentrun.emulator.guest.files import Incoming
from agentrun.emulator.guest.turns import in_thread

BATCH = 1024 * 1024
# Memory, and a disk that is not busy, take a batch in less time than a thread costs. Once one took longer than this the
# rest of the upload goes to a thread in larger batches, so that nobody else waits for the disk.
SLOW = 0.05
SLOW_BATCH = 4 * BATCH


class Spool:
    """Bytes on their way into a file."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._slow = False

    def add(self, data: bytes) -> None:
        """Take some bytes; `drain` writes them."""
        self._pieces.append(data)
        self._waiting += len(data)

    async def drain(self) -> None:
        """Write once there is enough to be worth it."""
        if self._waiting < (SLOW_BATCH if self._slow else BATCH):
            return
        began, pieces = time.monotonic(), self._take()
        if self._slow:
            await in_thread(lambda: self._write(pieces))
        else:
            self._write(pieces)
            self._slow = time.monotonic() - began > SLOW

    def finish(self) -> None:
        """Write the rest."""
        self._write(self._take())

    def _take(self) -> list[bytes]:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        return pieces

    def _write(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._incoming.write(piece)
