"""Code that writes to its interpreter's control socket holds up nobody, and fills no memory of the emulator."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from agentrun.emulator.guest.outputs import DISPLAY_LIMIT, MAX_DISPLAYS, MAX_PIECES, Output, result_entry
from agentrun.emulator.guest.replies import MAX_PYTHON_LINE, PYTHON_LINES, Reply
from agentrun.emulator.guest.workers.bundles import encode
from agentrun.emulator.guest.workers.tables import MIME_TYPE
from tests.emulator.hostile.grounds import Ground, ground
from tests.emulator.hostile.test_interpreters import LIES, TAKE_OVER

SECONDS = 1.0  # promised is less than a third of it; a busy machine gets some more
GROWTH = 60 * 2**20
FLOODS = ("lines of sixteen megabytes", "displays without end", "a million empty lines", "a line without end")


@pytest.fixture(scope="module")
def place() -> Generator[Ground]:
    with tempfile.TemporaryDirectory(prefix="ae") as folder, ground("process", Path(folder)) as found:
        yield found


class Health:
    """Asks the emulator again and again how it is, and how much memory it has; `slowest` in seconds, `most` bytes."""

    def __init__(self, place: Ground) -> None:
        self.slowest, self.most = 0.0, 0
        self._place = place
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Health:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            began = time.monotonic()
            assert self._place.account.client.get("/_emulator/health").status_code == 200
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.most = max(self.most, resident(self._place.pid))


def resident(pid: int) -> int:
    """Bytes of memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("name", FLOODS)
def test_floods_hold_up_nobody(place: Ground, name: str) -> None:
    inside = place.sandbox()
    inside.call("POST", "contexts/execute", {"code": "1 + 1"})
    before = resident(place.pid)
    with Health(place) as health:
        answer = inside.call("POST", "contexts/execute", {"code": TAKE_OVER + LIES[name], "timeout": 3})
    print(f"{name}: {health.slowest * 1000:.0f} ms, {(health.most - before) / 2**20:.1f} MiB, {answer.status_code}")
    assert health.slowest < SECONDS
    assert health.most - before < GROWTH
    place.delete(inside)


def decoded(bundle: dict[str, Any]) -> dict[str, Any]:
    """What the emulator reads of a result that an honest interpreter sends."""
    line = encode({"result": bundle, "error": None})
    assert len(line) <= MAX_PYTHON_LINE
    message = PYTHON_LINES.decode(line)
    assert isinstance(message, Reply)
    assert message.result is not None
    return message.result


def test_text_full_of_commas_arrives_whole() -> None:
    text = 'a,b,"c",[{\n' * 60_000
    assert decoded({"text/plain": text}) == {"text/plain": text}


def test_text_of_any_language_arrives_whole() -> None:
    text = "語\ud800" * 300_000
    assert decoded({"text/plain": text}) == {"text/plain": text}


def test_a_wide_table_loses_rows() -> None:
    rows = [dict.fromkeys(map(str, range(300)), 1.5)] * 1000
    table = decoded({MIME_TYPE: {"data": rows, "truncated": False}, "text/plain": "table"})[MIME_TYPE]
    assert table["truncated"] is True
    assert 200 < len(table["data"]) < 1000


def test_what_does_not_fit_together_is_named() -> None:
    found = decoded({"text/plain": "x", "text/html": "h" * 3_000_000, "image/png": "p" * 2_000_000})
    assert "text/html of 30000" in found["text/plain"]
    assert found["image/png"] == "p" * 2_000_000


def test_a_line_of_too_much_structure_is_not_parsed() -> None:
    with pytest.raises(ValueError, match="too many"):
        PYTHON_LINES.decode(b'{"display": [' + b"[]," * 100_000 + b"[]]}")


@pytest.mark.asyncio
async def test_displayed_values_are_bounded_in_number_and_size() -> None:
    many, large = Output(), Output()
    for _ in range(MAX_DISPLAYS + 5):
        many.display({"text/plain": "x"}, 1)
    for _ in range(10):
        large.display({"text/plain": "x"}, DISPLAY_LIMIT // 4)
    *kept, note = many.take(final=True)
    assert len(kept) == MAX_DISPLAYS
    assert note["text"].startswith("[5 more displayed values were dropped")
    assert [entry["text"][:2] for entry in large.take(final=True)] == ["x", "x", "x", "[7"]


@pytest.mark.asyncio
async def test_text_that_alternates_takes_no_more_pieces_than_it_may() -> None:
    output = Output()
    for _ in range(MAX_PIECES):
        output.write("stdout", b"o")
        output.write("stderr", b"e")
    taken = output.take(final=True)
    assert len(taken) == MAX_PIECES
    assert sum(len(entry["text"]) for entry in taken) == 2 * MAX_PIECES


def test_long_text_is_sent_once() -> None:
    assert result_entry({"text/plain": "x" * 100_000})["data"] == {}
    assert result_entry({"text/plain": "x"})["data"] == {"text/plain": "x"}
