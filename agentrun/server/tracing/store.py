"""Spans in a file of SQLite, which several servers may share; the oldest go when there are too many."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from agentrun.server.tracing.record import SpanRecord, below

MOST_SPANS = 50_000
OLDEST_SECONDS = 7 * 24 * 3600.0
_LONGEST_TEXT = 32_768
_SECONDS_TO_WAIT = 5.0
_SHORTEST_ID = 4

_TABLES = (
    """
    CREATE TABLE spans (
        number INTEGER PRIMARY KEY AUTOINCREMENT, span_id TEXT NOT NULL, trace_id TEXT NOT NULL, parent_id TEXT,
        name TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL, status TEXT NOT NULL, message TEXT,
        attributes TEXT NOT NULL, is_run INTEGER NOT NULL
    )
    """,
    "CREATE INDEX by_trace ON spans (trace_id)",
    "CREATE INDEX by_end ON spans (ended)",
    "CREATE INDEX runs ON spans (number) WHERE is_run",
)
_NAMES = tuple(each.name for each in fields(SpanRecord))  # `number` comes last, and is given by the database.
_COLUMNS = ", ".join(_NAMES[:-1])
_SESSION = "json_extract(attributes, '$.\"gen_ai.conversation.id\"')"


class UnknownTraceError(Exception):
    """No run and no trace has this id, or several have one that begins so."""


class TraceStore:
    """The spans of a file, which need not exist before something is put into it; only its owner can read it."""

    def __init__(self, file: Path, most_spans: int = MOST_SPANS, oldest_seconds: float = OLDEST_SECONDS) -> None:
        self.file = file
        self._most_spans = most_spans
        self._oldest_seconds = oldest_seconds

    def add(self, spans: Iterable[SpanRecord]) -> None:
        """Keep some spans, and remove those that are too old or too many."""
        if not self.file.exists():
            self._create()
        with _opened(self.file) as database, database:
            database.executemany(
                f"INSERT INTO spans ({_COLUMNS}, is_run) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_row, spans)
            )
            self._forget(database)

    def _create(self) -> None:
        # As a whole under another name: those who read it meanwhile would keep its journal from being set up.
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=self.file.name, dir=self.file.parent)  # Only its owner can read it.
        os.close(handle)
        try:
            with _opened(Path(name)) as database:
                database.execute("PRAGMA journal_mode = WAL")
                for statement in _TABLES:
                    database.execute(statement)
            with suppress(FileExistsError):
                os.link(name, self.file)
        finally:
            os.unlink(name)

    def _forget(self, database: sqlite3.Connection) -> None:
        oldest = int((time.time() - self._oldest_seconds) * 1e9)
        database.execute("DELETE FROM spans WHERE ended < ?", (oldest,))
        database.execute("DELETE FROM spans WHERE number <= (SELECT max(number) FROM spans) - ?", (self._most_spans,))

    def runs(self, count: int, *, after: int = 0, session_id: str | None = None) -> list[SpanRecord]:
        """The last runs, newest first, of those whose number is greater than `after`."""
        condition = f"is_run AND number > ? AND (? IS NULL OR {_SESSION} = ?) ORDER BY number DESC LIMIT ?"
        return self._read(condition, (after, session_id, session_id, count))

    def find(self, id: str) -> list[SpanRecord]:
        """The spans of a run with all that is below it, or of a whole trace; the beginning of an id is enough.

        They come as they began. Raises UnknownTraceError.
        """
        pattern = f"{id.lower()}*" if id.isalnum() and len(id) >= _SHORTEST_ID else ""
        named = self._read("(is_run AND span_id GLOB ?) OR trace_id GLOB ? ORDER BY started", (pattern, pattern))
        traces = {span.trace_id for span in named}
        if len(traces) != 1:
            raise UnknownTraceError(f"{'several traces have' if traces else 'there is no trace with'} the id {id!r}")
        spans = list(self._read("trace_id = ? ORDER BY started", (traces.pop(),)))
        tops = {span.span_id for span in named if span.is_run and span.span_id.startswith(id.lower())}
        return list(below(spans, tops.pop())) if len(tops) == 1 else spans

    def _read(self, condition: str, values: Sequence[Any]) -> list[SpanRecord]:
        if not self.file.exists():
            return []
        with _opened(self.file) as database:
            rows = database.execute(f"SELECT {_COLUMNS}, number FROM spans WHERE {condition}", values)
            return [_record(row) for row in rows]


@contextmanager
def _opened(file: Path) -> Generator[sqlite3.Connection]:
    # A connection of its own for each use: threads and forked processes share none.
    with closing(sqlite3.connect(file, timeout=_SECONDS_TO_WAIT)) as database:
        database.execute("PRAGMA synchronous = NORMAL")
        yield database


def _row(span: SpanRecord) -> tuple[Any, ...]:
    attributes = json.dumps({name: _short(value) for name, value in span.attributes.items()}, ensure_ascii=False)
    ids = (span.span_id, span.trace_id, span.parent_id)
    return (*ids, span.name, span.started, span.ended, span.status, _short(span.message), attributes, span.is_run)


def _short(value: Any) -> Any:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else value


def _record(row: Sequence[Any]) -> SpanRecord:
    found = dict(zip(_NAMES, row, strict=True))
    return SpanRecord(**{**found, "attributes": json.loads(found["attributes"])})
