"""The file in which traces are kept."""

from __future__ import annotations

import stat
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agentrun.server.tracing.place import trace_file
from agentrun.server.tracing.record import SpanRecord
from agentrun.server.tracing.store import TraceStore, UnknownTraceError

NOW = time.time_ns()
RUN = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "guide"}


def span(
    id: str, parent: str | None = None, *, trace: str = "aaaa", ago: float = 0.0, more: dict[str, str] | None = None
) -> SpanRecord:
    """A span that ended so many seconds ago; without a parent it is a run."""
    ended = NOW - int(ago * 1e9)
    attributes = {**({} if parent else RUN), **(more or {})}
    return SpanRecord(id, trace, parent, f"span {id}", ended - 5_000_000, ended, attributes=attributes)


@pytest.fixture
def store(tmp_path: Path) -> TraceStore:
    return TraceStore(tmp_path / "state" / "traces.db")


def ids(spans: list[SpanRecord]) -> list[str]:
    return [span.span_id for span in spans]


def test_what_is_kept_is_found_as_it_was(store: TraceStore) -> None:
    kept = SpanRecord("00aa", "bbbb", "cccc", "name", 1, NOW, "error", "a message", {"a": [1, 2], "b": "ü", "c": None})
    store.add([kept])
    (found,) = store.find("bbbb")
    assert found == replace(kept, number=found.number)


def test_runs_come_newest_first_and_from_a_number_on(store: TraceStore) -> None:
    store.add([span("0001"), span("0002", "0001"), span("0003")])
    assert ids(store.runs(10)) == ["0003", "0001"]
    assert ids(store.runs(1)) == ["0003"]
    assert ids(store.runs(10, after=store.runs(1)[0].number)) == []
    store.add([span("0004")])
    assert ids(store.runs(10, after=store.find("0003")[0].number)) == ["0004"]


def test_runs_of_a_session(store: TraceStore) -> None:
    session = {"gen_ai.conversation.id": "s'1"}
    store.add([span("0001", more=session), span("0002"), span("0003", more=session)])
    assert ids(store.runs(10, session_id="s'1")) == ["0003", "0001"]
    assert ids(store.runs(10, session_id="s")) == []


def test_a_run_is_shown_with_all_below_it_and_a_trace_as_a_whole(store: TraceStore) -> None:
    store.add([span("0003", "0002"), span("0002", "0001"), span("0001"), span("0004"), span("0005", trace="cccc")])
    assert sorted(ids(store.find("0001"))) == ["0001", "0002", "0003"]
    assert sorted(ids(store.find("aaaa"))) == ["0001", "0002", "0003", "0004"]
    assert ids(store.find("CCCC")) == ["0005"]


@pytest.mark.parametrize("id", ["ffff", "000", "0001*", "%", "", "000?"])
def test_an_unknown_id_is_an_error(store: TraceStore, id: str) -> None:
    store.add([span("0001")])
    with pytest.raises(UnknownTraceError, match="no trace"):
        store.find(id)


def test_an_id_of_several_traces_is_an_error(store: TraceStore) -> None:
    store.add([span("00010"), span("00011", trace="bbbb")])
    with pytest.raises(UnknownTraceError, match="several"):
        store.find("0001")


def test_the_oldest_go(tmp_path: Path) -> None:
    store = TraceStore(tmp_path / "traces.db", most_spans=3, oldest_seconds=3600)
    store.add([span("0001", ago=4000), span("0002", ago=10)])
    assert ids(store.runs(10)) == ["0002"]
    store.add([span(f"100{number}") for number in range(5)])
    assert ids(store.runs(10)) == ["1004", "1003", "1002"]
    first = store.runs(10)[0].number
    store.add([span("2000")])
    assert store.runs(1)[0].number == first + 1, "numbers grow also when spans have gone"


def test_long_texts_are_cut(store: TraceStore) -> None:
    store.add([span("0001", more={"text": "x" * 10**6})])
    assert len(store.find("0001")[0].attributes["text"]) < 50_000


def test_only_its_owner_can_read_it(store: TraceStore) -> None:
    store.add([span("0001")])
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.file.parent.stat().st_mode) == 0o700


def test_a_file_that_is_not_there_is_empty(store: TraceStore) -> None:
    assert store.runs(10) == []
    assert not store.file.exists()


def test_several_write_at_once(store: TraceStore) -> None:
    def write(number: int) -> None:
        for each in range(20):
            TraceStore(store.file).add([span(f"{number}{each:04}")])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.runs(1000)) == 80


def test_who_reads_keeps_nobody_from_writing(tmp_path: Path) -> None:
    stores = [TraceStore(tmp_path / f"{number}.db") for number in range(20)]
    has_ended = threading.Event()

    def read() -> None:
        while not has_ended.is_set():
            for store in stores:
                store.runs(10)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for store in stores:
            store.add([span("0001")])
    finally:
        has_ended.set()
        for reader in readers:
            reader.join()
    assert [ids(store.runs(10)) for store in stores] == [["0001"]] * 20
    assert len(list(tmp_path.glob("*.db"))) == len(list(tmp_path.glob("*.db*"))), "nothing is left beside the files"


@pytest.mark.parametrize("no", ["", "0", "false", "OFF", "no"])
def test_traces_are_off_unless_somebody_wants_them(no: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTRUN_TRACES", raising=False)
    assert trace_file(None) is None
    monkeypatch.setenv("AGENTRUN_TRACES", no)
    assert trace_file(None) is None


def test_where_traces_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("AGENTRUN_TRACES", "1")
    assert trace_file(None) == tmp_path / "agentrun" / "traces.db"
    assert trace_file(False) is None, "what the configuration says counts more"
    assert trace_file("/elsewhere/t.db") == Path("/elsewhere/t.db")
    monkeypatch.setenv("AGENTRUN_TRACES", "t.db")
    assert trace_file(None) == Path.cwd() / "t.db"
    assert trace_file(True) == tmp_path / "agentrun" / "traces.db"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert trace_file(True) == tmp_path / ".local" / "state" / "agentrun" / "traces.db"
