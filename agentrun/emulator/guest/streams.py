"""The streams of a process: its output, kept within bounds for whoever asks, and its input."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
from collections import deque
from collections.abc import Callable

from agentrun.emulator.guest.errors import Conflict

LIMIT = 1024 * 1024
CHUNK = 65536
# More than a pipe holds: what was written before the call is taken, an endless writer does not hold us up.
ROUNDS = 32


class Kept:
    """Bytes, of which a limited number is kept: the first ones, or the last."""

    def __init__(self, *, last: bool = False, limit: int = LIMIT) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._last = last
        self._limit = limit

    def add(self, data: bytes) -> None:
        """Add some; drop what is too much."""
        if not self._last:
            room = self._limit - self._size
            self._dropped += max(0, len(data) - room)
            data = data[: max(0, room)]
        if data:
            self._pieces.append(data)
            self._size += len(data)
        while self._size > self._limit:
            self._drop(self._size - self._limit)

    def take(self) -> tuple[bytes, str]:
        """What is kept, and a marker when something was dropped; both are forgotten."""
        data, marker = b"".join(self._pieces), self._marker()
        self._pieces.clear()
        self._size = self._dropped = 0
        return data, marker

    def text(self) -> str:
        """What is kept as text, with the marker where something is missing."""
        text = b"".join(self._pieces).decode("utf-8", "replace")
        return self._marker() + text if self._last else text + self._marker()

    def last_lines(self, count: int | None) -> Kept:
        """Another one that begins with the last lines of this one, all when `count` is None, and keeps the last."""
        other = Kept(last=True, limit=self._limit)
        if count is None:
            other._pieces, other._size, other._dropped = self._pieces.copy(), self._size, self._dropped
        elif count:
            other.add(b"".join(b"".join(self._pieces).splitlines(keepends=True)[-count:]))
        return other

    def _marker(self) -> str:
        if not self._dropped:
            return ""
        return f"\n... [{self._dropped} more bytes of output were dropped: the limit is {self._limit} bytes]\n"

    def _drop(self, surplus: int) -> None:
        first = self._pieces.popleft()
        dropped = min(surplus, len(first))
        if dropped < len(first):
            self._pieces.appendleft(first[dropped:])
        self._size -= dropped
        self._dropped += dropped


class Tail:
    """One stream as somebody follows it: text, never half a character, bounded when it is taken too slowly."""

    def __init__(self, kept: Kept, changed: asyncio.Event) -> None:
        self._kept = kept
        self._changed = changed
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, data: bytes) -> None:
        """Take what the process wrote."""
        self._kept.add(data)
        self._changed.set()

    def take(self, *, final: bool = False) -> str:
        """What came since the last time."""
        data, marker = self._kept.take()
        return marker + self._decoder.decode(data, final)


class Output:
    """The reading end of a pipe; reading never stops, so that nobody waits for a full pipe."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)
        self._followers: list[Tail] = []
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reader, self._read_once)

    def close_writer(self) -> None:
        """Leave the writing end to the process."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def drain(self) -> None:
        """Take everything written until now."""
        for _ in range(ROUNDS):
            if not self._read_once():
                break

    def follow(self, changed: asyncio.Event, lines: int | None) -> Tail:
        """Follow it, from so many lines back, or from the beginning of what is kept."""
        tail = Tail(self.kept.last_lines(lines), changed)
        self._followers.append(tail)
        return tail

    def unfollow(self, tail: Tail) -> None:
        """Follow it no more."""
        self._followers.remove(tail)

    def discard(self) -> None:
        """Keep nothing any more; reading goes on, so that whoever still writes is not ended by it."""
        self.kept = Kept(limit=0)

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
            self.close()
            return False
        self.kept.add(data)
        for tail in self._followers:
            tail.add(data)
        return True


class Writing:
    """A descriptor to write to without waiting on the event loop; it belongs to who made this."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._turn = asyncio.Lock()
        self._loop = asyncio.get_running_loop()

    async def write(self, data: bytes) -> None:
        """Write all of it, not faster than it is read. Raises OSError."""
        async with self._turn:
            left = memoryview(data)
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:
                    await _ready(self._loop.add_writer, self._loop.remove_writer, self._descriptor)


class Input:
    """The stdin of a process; `reader` is to be handed to it and then closed here."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_CLOEXEC)
        self._writing = Writing(self._writer)

    def close_reader(self) -> None:
        """Leave the reading end to the process."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    async def write(self, data: bytes) -> None:
        """Write, not faster than the process reads; Conflict when it does not any more."""
        try:
            if self._writer < 0:
                raise BrokenPipeError
            await self._writing.write(data)
        except OSError:
            raise Conflict("the process does not read its stdin: it was closed, or the process has ended") from None

    async def feed(self, data: bytes) -> None:
        """Write everything and close; a process that does not want it all is no error."""
        with contextlib.suppress(Conflict):
            await self.write(data)
        self.close()

    def close(self) -> None:
        """Let the process read the end."""
        self.close_reader()
        if self._writer >= 0:
            asyncio.get_running_loop().remove_writer(self._writer)
            os.close(self._writer)
            self._writer = -1


async def readable(descriptor: int) -> None:
    """Wait until there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    await _ready(loop.add_reader, loop.remove_reader, descriptor)


async def _ready(add: Callable[..., None], remove: Callable[[int], bool], descriptor: int) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    add(descriptor, _set, ready)
    try:
        await ready
    finally:
        remove(descriptor)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
