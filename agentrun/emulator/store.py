"""Where the emulator remembers: tenants > region > kind > id, in SQLite.

One table holds every resource as a JSON document beside the columns that are searched by. In memory by default; in a
directory it is a WAL database, where a committed write survives the death of the process at any point. A change of
state that is due at a later time is stored with its time, so that it happens on time even across a restart.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

FORMAT = 1
FILE = "emulator.db"
# Which credential a resource names; the words of the query must be those of the index.
_NAMED_CREDENTIAL = """coalesce(
    json_extract(document, '$.credentialName'), json_extract(document, '$.credentialConfiguration.credentialName')
)"""
# The credentials that a resource names in its texts, which are sealed, and those that a sandbox has.
REFERENCES = "credentialReferences"
_REFERENCES = f"json_extract(document, '$.{REFERENCES}')"
# Sandboxes stay in the store when they have ended.
_REFERRING = f"{_REFERENCES} IS NOT NULL AND status <> 'TERMINATED'"
# Creation order is the order of every list, and no filter looks at more than one kind of one account.
_SCHEMA = f"""
CREATE TABLE resources (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL, region TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
    name TEXT NOT NULL, parent TEXT NOT NULL, status TEXT NOT NULL,
    next_status TEXT, due REAL, document TEXT NOT NULL
);
CREATE UNIQUE INDEX by_id ON resources (kind, id, account, region);
CREATE UNIQUE INDEX by_name ON resources (account, region, kind, parent, name);
CREATE INDEX by_order ON resources (account, region, kind, parent, seq);
CREATE INDEX by_credential ON resources (account, region, {_NAMED_CREDENTIAL});
CREATE INDEX by_due ON resources (due) WHERE due IS NOT NULL;
CREATE TABLE counts (
    account TEXT, region TEXT, kind TEXT, parent TEXT, n INTEGER NOT NULL,
    PRIMARY KEY (account, region, kind, parent)
) WITHOUT ROWID;
CREATE TRIGGER counted AFTER INSERT ON resources BEGIN
    INSERT INTO counts VALUES (new.account, new.region, new.kind, new.parent, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER uncounted AFTER DELETE ON resources BEGIN
    UPDATE counts SET n = n - 1
    WHERE account = old.account AND region = old.region AND kind = old.kind AND parent = old.parent;
END;
"""
# Came later; without them everything works as before, only slower.
_LATER = f"""
CREATE INDEX IF NOT EXISTS by_kind_and_name ON resources (kind, name);
CREATE INDEX IF NOT EXISTS by_reference ON resources (account, region) WHERE {_REFERRING};
"""
_COLUMNS = "account, region, kind, id, name, parent, status, next_status, due, document"
GONE = ""


class StoreError(Exception):
    """The state cannot be opened; the text says what to do."""


class NameTaken(Exception):
    """A resource of that kind has the name or the id already."""


class Scope(NamedTuple):
    """Whose resources: an account in a region."""

    account: str
    region: str


@dataclass(frozen=True)
class Record:
    """One resource: its document is what the service shows of it, its status excepted.

    `due` is when the status becomes `next_status`, which is GONE for a resource that is to disappear.
    """

    scope: Scope
    kind: str
    id: str
    name: str
    status: str
    document: dict[str, Any] = field(default_factory=dict[str, Any])
    parent: str = ""
    next_status: str | None = None
    due: float | None = None

    def with_document(self, **changes: Any) -> Record:
        """The record with some fields of its document set."""
        return replace(self, document={**self.document, **changes})


class Store:
    """The resources of all tenants."""

    def __init__(self, directory: Path | None = None) -> None:
        self._path = None if directory is None else directory / FILE
        self._database = _open(self._path)
        self._changes: Counter[str] = Counter()
        self._cleared = 0
        self._next_due = self._earliest()

    def insert(self, record: Record) -> None:
        """Add a resource; raises NameTaken."""
        try:
            self._write(
                f"INSERT INTO resources ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)", (*_key(record), *_content(record))
            )
        except sqlite3.IntegrityError as error:
            raise NameTaken(record.name) from error
        self._changes[record.kind] += 1
        self._note_due(record.due)

    def save(self, record: Record) -> None:
        """Write a resource that exists; one that is gone meanwhile stays gone. Raises NameTaken."""
        try:
            self._write(
                "UPDATE resources SET name=?, parent=?, status=?, next_status=?, due=?, document=? "
                "WHERE account=? AND region=? AND kind=? AND id=?",
                (*_content(record), *_key(record)),
            )
        except sqlite3.IntegrityError as error:
            raise NameTaken(record.name) from error
        self._changes[record.kind] += 1
        self._note_due(record.due)

    def delete(self, record: Record) -> None:
        """Remove a resource."""
        self._changes[record.kind] += 1
        self._write("DELETE FROM resources WHERE account=? AND region=? AND kind=? AND id=?", _key(record))

    def get(self, scope: Scope, kind: str, id: str) -> Record | None:
        """A resource by its id."""
        return self._one("account=? AND region=? AND kind=? AND id=?", (*scope, kind, id))

    def get_by_name(self, scope: Scope, kind: str, name: str, parent: str = "") -> Record | None:
        """A resource by its name."""
        return self._one("account=? AND region=? AND kind=? AND parent=? AND name=?", (*scope, kind, parent, name))

    def page(
        self,
        scope: Scope,
        kind: str,
        *,
        parent: str = "",
        filters: Iterable[tuple[str, tuple[Any, ...]]] = (),
        limit: int,
        offset: int = 0,
        after: int = 0,
    ) -> tuple[list[Record], int, int]:
        """Resources in the order of their creation: those on the page, how many there are, where the next page begins.

        `filters` are conditions in SQL with their parameters. `after` is the number that an earlier page gave, which
        is 0 when nothing follows. A negative `limit` takes all.
        """
        conditions = list(filters)
        where = " AND ".join(["account=? AND region=? AND kind=? AND parent=?", *(text for text, _ in conditions)])
        values = (*scope, kind, parent, *(value for _, given in conditions for value in given))
        rows = self._database.execute(
            f"SELECT {_COLUMNS}, seq FROM resources WHERE {where} AND seq > ? ORDER BY seq LIMIT ? OFFSET ?",
            (*values, after, limit + 1 if limit >= 0 else limit, offset),
        ).fetchall()
        shown = rows[:limit] if limit >= 0 else rows
        following = shown[-1][-1] if len(shown) < len(rows) else 0
        total = self._count(where, values) if conditions else self._counted((*scope, kind, parent))
        return [_record(row) for row in shown], total, following

    def naming(self, scope: Scope, credential: str) -> list[tuple[str, str, str]]:
        """Kind, id and name of everything that names a credential; of sandboxes, of those that have not ended."""
        columns, whose = "seq, kind, id, name FROM resources", "account=? AND region=?"
        rows = self._database.execute(
            f"SELECT {columns} WHERE {whose} AND {_NAMED_CREDENTIAL}=? UNION SELECT {columns} WHERE {whose} "
            f"AND {_REFERRING} AND ? IN (SELECT value FROM json_each({_REFERENCES})) ORDER BY seq",
            (*scope, credential, *scope, credential),
        ).fetchall()
        return [(kind, id, name) for _, kind, id, name in rows]

    def named(self, kind: str, label: str) -> list[Record]:
        """The resources of a kind that have a name or an id, whosever they are."""
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM resources WHERE kind=? AND (id=? OR name=?) ORDER BY seq", (kind, label, label)
        )
        return [_record(row) for row in rows]

    def every(self, kind: str) -> list[Record]:
        """The resources of a kind in all accounts."""
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM resources WHERE kind=? ORDER BY seq", (kind,))
        return [_record(row) for row in rows]

    def changes(self, *kinds: str) -> int:
        """A number that grows with every change of a resource of these kinds."""
        return self._cleared + sum(self._changes[kind] for kind in kinds)

    def anywhere(self, kind: str, id: str) -> Record | None:
        """A resource by its id, whosever it is; ids are made here and are no secret."""
        return self._one("kind=? AND id=?", (kind, id))

    def due(self, now: float) -> list[Record]:
        """The resources whose next status is due; costs nothing while none is."""
        if self._next_due is None or now < self._next_due:
            return []
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM resources WHERE due <= ? ORDER BY due", (now,))
        return [_record(row) for row in rows]

    def settled(self) -> None:
        """Look again for the next time at which something is due."""
        self._next_due = self._earliest()

    def clear(self, account: str | None = None) -> None:
        """Remove everything, or everything of one account."""
        self._cleared += 1
        self._write("DELETE FROM resources WHERE account = coalesce(?, account)", (account,))
        self._next_due = self._earliest()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        self._database.execute(statement, values)

    def _one(self, where: str, values: tuple[Any, ...]) -> Record | None:
        row = self._database.execute(f"SELECT {_COLUMNS} FROM resources WHERE {where}", values).fetchone()
        return _record(row) if row else None

    def _counted(self, values: tuple[Any, ...]) -> int:
        row = self._database.execute(
            "SELECT n FROM counts WHERE account=? AND region=? AND kind=? AND parent=?", values
        ).fetchone()
        return row[0] if row else 0

    def _count(self, where: str, values: tuple[Any, ...]) -> int:
        count: int = self._database.execute(f"SELECT count(*) FROM resources WHERE {where}", values).fetchone()[0]
        return count

    def _note_due(self, due: float | None) -> None:
        if due is not None and (self._next_due is None or due < self._next_due):
            self._next_due = due

    def _earliest(self) -> float | None:
        earliest: float | None = self._database.execute(
            "SELECT min(due) FROM resources WHERE due IS NOT NULL"
        ).fetchone()[0]
        return earliest


def _key(record: Record) -> tuple[str, ...]:
    return (*record.scope, record.kind, record.id)


def _content(record: Record) -> tuple[Any, ...]:
    document = json.dumps(record.document, separators=(",", ":"), ensure_ascii=False)
    return (record.name, record.parent, record.status, record.next_status, record.due, document)


def _record(row: tuple[Any, ...]) -> Record:
    account, region, kind, id, name, parent, status, next_status, due, document = row[:10]
    return Record(Scope(account, region), kind, id, name, status, json.loads(document), parent, next_status, due)


def _open(path: Path | None) -> sqlite3.Connection:
    # Autocommit: each statement is its own transaction, and is on disk when it returns.
    database = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    try:
        _prepare(database, path)
    except sqlite3.DatabaseError as error:
        database.close()
        if "locked" in str(error):
            raise StoreError(
                f"{path} is used by another emulator; stop it, or choose another --state directory"
            ) from error
        raise StoreError(
            f"{path} is not a state of the emulator ({error}); choose another --state directory"
        ) from error
    except StoreError:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path | None) -> None:
    if path is not None:
        # Two emulators would each end what the other runs; the lock goes with the process, however that ends.
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("PRAGMA busy_timeout=1000")
        database.execute("PRAGMA journal_mode=WAL")
        # The death of the process loses nothing with this; only a power cut may lose the last moments.
        database.execute("PRAGMA synchronous=NORMAL")
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise StoreError(
            f"{path} was written by a newer agentrun (format {version}, this one reads {FORMAT}); "
            "upgrade agentrun or choose another --state directory"
        )
    if version == 0:
        database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={FORMAT}; COMMIT;")
    database.executescript(_LATER)


def matches(column: str, value: str | None) -> list[tuple[str, tuple[Any, ...]]]:
    """The filter that a column equals a value, none when there is no value."""
    return [(f"{column} = ?", (value,))] if value else []


def field_is(path: str, value: str | None) -> list[tuple[str, tuple[Any, ...]]]:
    """The filter that a field of the document equals a value, none when there is no value."""
    return [("json_extract(document, ?) = ?", (f"$.{path}", value))] if value else []


def field_in(path: str, values: str | None) -> list[tuple[str, tuple[Any, ...]]]:
    """The filter that a field of the document is one of several, given with commas between."""
    if not values:
        return []
    wanted = values.split(",")
    return [(f"json_extract(document, ?) IN ({','.join('?' * len(wanted))})", (f"$.{path}", *wanted))]


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A document with the changes of an update: what is given replaces, what is not stays."""
    return {**document, **changes}
