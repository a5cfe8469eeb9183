"""Documents of knowledge bases, found by their words: full-text search of SQLite, with a table for each base.

A table of its own, because how rare a word is must depend on the documents of this base alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from agentrun.emulator.knowledge.text import chunks, query_terms, terms
from agentrun.emulator.wire.envelope import not_found, unsupported

FILE = "knowledge.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    base TEXT, id TEXT, title TEXT, metadata TEXT NOT NULL, chunks INTEGER NOT NULL, PRIMARY KEY (base, id)
) WITHOUT ROWID;
"""
_SELECT = "SELECT id, title, metadata, chunks FROM documents"
# English words are found in all their forms; accents do not matter.
_TOKENIZER = "porter unicode61 remove_diacritics 2"

Accepts: TypeAlias = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True)
class IndexedDocument:
    """A document without its text."""

    id: str
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    chunks: int = 0

    def to_json(self) -> dict[str, Any]:
        """The document as an answer shows it."""
        fields = {"id": self.id, "title": self.title, "metadata": dict(self.metadata), "chunks": self.chunks}
        return {name: value for name, value in fields.items() if value is not None}


class Hit(NamedTuple):
    """A chunk that was found; `score` is from 0 to 1, the weight of the query's words that are in it."""

    id: str
    text: str
    score: float
    document: IndexedDocument


class KnowledgeIndex:
    """The documents of all bases; without a directory they are in memory."""

    def __init__(self, directory: Path | None = None) -> None:
        self._path: Path | str = ":memory:" if directory is None else directory / FILE

    @cached_property
    def _database(self) -> sqlite3.Connection:
        # Opened when somebody first has documents; most runs have none.
        database = sqlite3.connect(self._path, check_same_thread=False)
        database.executescript(_SCHEMA)
        return database

    def has(self, base: str) -> bool:
        """Whether a base was ever given documents."""
        if "_database" not in vars(self) and not Path(self._path).exists():
            return False  # Nothing is opened, or left in a state, for those who have no documents.
        row = self._database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_name(base),)).fetchone()
        return row is not None

    def add(self, base: str, id: str | None, text: str, title: str | None, metadata: dict[str, Any]) -> IndexedDocument:
        """Put a document in; one with the same id is replaced. Raises ServiceError (501) without full-text search."""
        pieces = chunks(text)
        document = IndexedDocument(id or _id_of(text), title, metadata, len(pieces))
        with self._database as database:
            self._make(base)
            self._remove(base, document.id)
            row = (base, document.id, title, json.dumps(metadata, ensure_ascii=False), document.chunks)
            database.execute("INSERT INTO documents VALUES (?,?,?,?,?)", row)
            database.executemany(
                f"INSERT INTO {_table(base)} (document, text, terms) VALUES (?,?,?)",
                [(document.id, piece, " ".join(terms(f"{title or ''} {piece}"))) for piece in pieces],
            )
        return document

    def documents(self, base: str) -> list[IndexedDocument]:
        """The documents of a base by their ids."""
        if not self.has(base):
            return []
        rows = self._database.execute(f"{_SELECT} WHERE base = ? ORDER BY id", (base,))
        return [_document(row) for row in rows]

    def remove(self, base: str, id: str) -> IndexedDocument:
        """Take a document out; raises ServiceError (404)."""
        found = next((each for each in self.documents(base) if each.id == id), None)
        if found is None:
            raise not_found("document", id)
        with self._database:
            self._remove(base, id)
        return found

    def drop(self, base: str) -> None:
        """Forget everything of a base."""
        if self.has(base):
            with self._database as database:
                database.execute(f"DROP TABLE {_table(base)}")
                database.execute("DELETE FROM documents WHERE base = ?", (base,))

    def search(self, base: str, query: str, limit: int, accepts: Accepts | None = None) -> list[Hit]:
        """The best chunks for a query, of documents whose metadata is accepted."""
        wanted = query_terms(query)
        if not wanted or limit <= 0 or not self.has(base):
            return []
        hits: list[Hit] = []
        known = {document.id: document for document in self.documents(base)}
        for rowid, score in self._ranked(base, wanted):
            id, text = self._chunk(base, rowid)
            if accepts is None or accepts(known[id].metadata):
                hits.append(Hit(f"{id}-{rowid}", text, score, known[id]))
            if len(hits) == limit:
                break
        return hits

    def close(self) -> None:
        """Close the database."""
        if "_database" in vars(self):
            self._database.close()

    # Ranking

    def _ranked(self, base: str, wanted: Iterable[str]) -> list[tuple[int, float]]:
        """Chunks with their scores, the best first; among equals the one that SQLite's BM25 prefers."""
        found = {term: self._having(base, term) for term in wanted}
        total: int = self._database.execute(f"SELECT count(*) FROM {_table(base)}").fetchone()[0]
        weights = {term: _rarity(len(rows), total) for term, rows in found.items()}
        whole = sum(weights.values())
        scores: dict[int, float] = {}
        for term, rows in found.items():
            for rowid in rows:
                scores[rowid] = scores.get(rowid, 0.0) + weights[term] / whole
        order = {rowid: place for place, rowid in enumerate(self._by_bm25(base, found))}
        ranked = sorted(scores.items(), key=lambda each: (-round(each[1], 6), order[each[0]]))
        return [(rowid, round(score, 6)) for rowid, score in ranked]

    def _having(self, base: str, term: str) -> list[int]:
        sql = f"SELECT rowid FROM {_table(base)} WHERE {_table(base)} MATCH ?"
        return [row[0] for row in self._database.execute(sql, (_phrase(term),))]

    def _by_bm25(self, base: str, wanted: Iterable[str]) -> Iterator[int]:
        sql = f"SELECT rowid FROM {_table(base)} WHERE {_table(base)} MATCH ? ORDER BY rank, rowid"
        return (row[0] for row in self._database.execute(sql, (" OR ".join(map(_phrase, wanted)),)))

    # Tables

    def _make(self, base: str) -> None:
        try:
            self._database.execute(
                f"CREATE VIRTUAL TABLE IF NOT EXISTS {_table(base)} USING "
                f"fts5(terms, text UNINDEXED, document UNINDEXED, tokenize='{_TOKENIZER}')"
            )
        except sqlite3.OperationalError as error:
            raise unsupported(
                f"documents need full-text search, which SQLite {sqlite3.sqlite_version} of this Python lacks: {error}"
            ) from error

    def _remove(self, base: str, id: str) -> None:
        self._database.execute(f"DELETE FROM {_table(base)} WHERE document = ?", (id,))
        self._database.execute("DELETE FROM documents WHERE base = ? AND id = ?", (base, id))

    def _chunk(self, base: str, rowid: int) -> tuple[str, str]:
        row: tuple[str, str] = self._database.execute(
            f"SELECT document, text FROM {_table(base)} WHERE rowid = ?", (rowid,)
        ).fetchone()
        return row


def _document(row: tuple[str, str | None, str, int]) -> IndexedDocument:
    id, title, metadata, count = row
    return IndexedDocument(id, title, json.loads(metadata), count)


def _name(base: str) -> str:
    return f"chunks of {base}"


def _table(base: str) -> str:
    # Ids of bases are made here: letters, digits and hyphens.
    return f'"{_name(base)}"'


def _phrase(term: str) -> str:
    return f'"{term}"'


def _rarity(having: int, total: int) -> float:
    """How much a word tells: the fewer chunks have it, the more; never nothing."""
    return math.log(1 + (total - having + 0.5) / (having + 0.5))


def _id_of(text: str) -> str:
    return f"doc-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
