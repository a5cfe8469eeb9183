"""What an execution writes and shows, in order, until somebody takes it."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Iterable
from typing import Any

from agentrun.emulator.guest.capture import LIMIT, drop_mark
from agentrun.emulator.guest.replies import Bundle

STREAMS = ("stdout", "stderr")
PLAIN = "text/plain"
DISPLAY_LIMIT = 8 * 1024 * 1024
DISPLAY_BYTES = 500  # what a displayed value takes in memory beside its data, about
MAX_DISPLAYS = 1000
MAX_PIECES = 10_000
TWICE = 64 * 1024  # longer plain text is not sent both as `text` and among the data

Entry = dict[str, Any]  # one thing that happened during an execution, as it travels


class TextStream:
    """One stream that waits to be taken: how much of it is kept, how much had to be dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = 0
        self._dropped = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def admit(self, data: bytes) -> bytes:
        """As much of the data as there is room for."""
        admitted = data[: max(0, self._limit - self._kept)]
        self._kept += len(admitted)
        self._dropped += len(data) - len(admitted)
        return admitted

    def decode(self, data: bytes) -> str:
        """The text; bytes of a character that is not complete yet stay for the next time."""
        return self._decoder.decode(data)

    def end(self, *, final: bool) -> str:
        """What follows the text that was taken: a marker when something was dropped. There is room again after it."""
        dropped, self._kept, self._dropped = self._dropped, 0, 0
        rest = self._decoder.decode(b"", final or dropped > 0)
        return rest + (drop_mark(dropped, self._limit) if dropped else "")


class Output:
    """Text of both streams and displayed data; `changed` is set while something waits to be taken.

    What waits is bounded, 1 MiB a stream and 1,000 displayed values of 8 MiB together; more is counted and dropped, so
    that neither a busy writer nor a slow reader fills the memory.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.changed = asyncio.Event()
        self._streams = {name: TextStream(limit) for name in STREAMS}
        self._waiting: list[tuple[str, bytearray] | tuple[str, Bundle]] = []
        self._pieces: dict[str, bytearray] = {}  # the last one of each stream
        self._displays = 0
        self._displayed = 0
        self._undisplayed = 0

    def follow(self, earlier: Output) -> None:
        """Begin with what was written between two executions, and nobody has taken."""
        self._streams, self._waiting, self._pieces = earlier._streams, earlier._waiting, earlier._pieces
        self._displays, self._displayed = earlier._displays, earlier._displayed
        self._undisplayed = earlier._undisplayed
        if self._waiting:
            self.changed.set()

    def write(self, stream: str, data: bytes) -> None:
        """Add to a stream."""
        admitted = self._streams[stream].admit(data)
        if admitted:
            self._piece(stream).extend(admitted)
        self.changed.set()

    def display(self, data: Bundle, size: int) -> None:
        """Add displayed data of so many bytes; a note takes the place of all that is too much."""
        total = self._displayed + size + DISPLAY_BYTES
        if self._displays >= MAX_DISPLAYS or total > DISPLAY_LIMIT:
            self._undisplayed += 1
        else:
            self._displays, self._displayed = self._displays + 1, total
            self._waiting.append(("result", data))
        self.changed.set()

    def take(self, *, final: bool = False) -> list[Entry]:
        """The entries that wait, in order; `final` when nothing follows."""
        waiting, self._waiting, self._pieces = self._waiting, [], {}
        dropped, self._undisplayed = self._undisplayed, 0
        self._displays = self._displayed = 0
        self.changed.clear()
        if dropped:
            waiting.append(("result", {PLAIN: _drop_note(dropped)}))
        found = [self._entry(kind, content) for kind, content in waiting]
        found += [text_entry(name, stream.end(final=final)) for name, stream in self._streams.items()]
        return [entry for entry in found if entry["text"] or "data" in entry]

    def _piece(self, stream: str) -> bytearray:
        """What text of a stream is added to; after very many changes between the streams their order is given up."""
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last[0] == stream and isinstance(last[1], bytearray):
            return last[1]
        if len(self._waiting) < MAX_PIECES or stream not in self._pieces:
            self._pieces[stream] = bytearray()
            self._waiting.append((stream, self._pieces[stream]))
        return self._pieces[stream]

    def _entry(self, kind: str, content: bytearray | Bundle) -> Entry:
        if isinstance(content, bytearray):
            return text_entry(kind, self._streams[kind].decode(bytes(content)))
        return {**result_entry(content), "display": True}


def text_entry(stream: str, text: str) -> Entry:
    """Text of a stream."""
    return {"type": stream, "text": text}


def result_entry(data: Bundle) -> Entry:
    """A value with all its forms; `text` is the plain one, which is not repeated among them when it is long."""
    text = data.get(PLAIN, "")
    if isinstance(text, str) and len(text) > TWICE:
        data = {kind: form for kind, form in data.items() if kind != PLAIN}
    return {"type": "result", "text": text, "data": data}


def _drop_note(dropped: int) -> str:
    limits = f"{MAX_DISPLAYS} values and {DISPLAY_LIMIT} bytes"
    return f"[{dropped} more displayed values were dropped: the limit is {limits}]"


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """One entry for everything written to stdout, one for stderr, then what was displayed."""
    found = list(entries)
    texts = [text_entry(name, "".join(entry["text"] for entry in found if entry["type"] == name)) for name in STREAMS]
    return [entry for entry in texts if entry["text"]] + [entry for entry in found if "data" in entry]
