"""Shelves in a database: SQLite, PostgreSQL or MySQL, by URL."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar, cast

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from typing_extensions import Unpack

from agentrun.errors import ConfigError, StorageError
from agentrun.server.services.storage.base import Entry, Place, Shelf, numbered

THREADS = 8
_DRIVERS = {
    "postgresql": ("postgresql+psycopg", "postgresql"),
    "postgres": ("postgresql+psycopg", "postgresql"),
    "mysql": ("mysql+pymysql", "mysql"),
    "mariadb": ("mysql+pymysql", "mysql"),
}
_ASYNC_DRIVERS = ("aiosqlite", "aiomysql", "asyncmy", "asyncpg", "psycopg_async")
_BUSY_SECONDS = 30
_ATTEMPTS = 5
_WRITES_BETWEEN_SWEEPS = 256
_MOST_SWEPT = 100

T = TypeVar("T")
Query: TypeAlias = "Select[Unpack[tuple[Any, ...]]]"
Rows: TypeAlias = "Sequence[Row[Unpack[tuple[Any, ...]]]]"

# Keys are compared by their code points in every database, whatever its own order is.
_KEY = (
    String(255)
    .with_variant(postgresql.VARCHAR(255, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
)
# Owners and names may be of any length and are told apart to the last bit, so they are looked up by their digests.
_DIGEST = String(64).with_variant(mysql.CHAR(64, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
_TEXT = Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")
# SQLite counts up only what is called INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")
METADATA = MetaData()
SHELVES = Table(
    "agentrun_shelves",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("digest", _DIGEST, nullable=False, unique=True),
    Column("owner_digest", _DIGEST, nullable=False, index=True),
    Column("kind", String(64), nullable=False, index=True),
    Column("owner", _TEXT, nullable=False),
    Column("name", _TEXT, nullable=False),
    Column("expires_at", Double, nullable=True, index=True),
    sqlite_autoincrement=True,  # The position of a shelf is never that of one that was before.
)
ENTRIES = Table(
    "agentrun_entries",
    METADATA,
    Column("shelf_id", _NUMBER, primary_key=True, autoincrement=False),
    Column("key", _KEY, primary_key=True),
    Column("value", _TEXT, nullable=False),
)


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def usable_url(url: str) -> URL:
    """The URL with the driver that is meant, where it names none; raises ConfigError for one that cannot be used."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        # Not with the text of the error: the URL may hold a password.
        raise ConfigError("the URL of the database cannot be read", hint="Write it as in sqlite:///agent.db") from None
    name, _, driver = parsed.drivername.partition("+")
    if driver in _ASYNC_DRIVERS:
        raise ConfigError(f"the driver {driver} needs an event loop", hint=f"Leave it out: {name}://...")
    if name == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError(
            "SQLite is used with a file", hint="Name one: sqlite:///agent.db, or use the InMemory service"
        )
    if not driver and name in _DRIVERS:
        return parsed.set(drivername=_DRIVERS[name][0])
    return parsed


def _engine(url: URL) -> Engine:
    """Connections to a database; each thread that asks has one of its own."""
    name = url.get_backend_name()
    options: dict[str, Any] = {"pool_size": THREADS, "max_overflow": 0, "pool_pre_ping": name != "sqlite"}
    if name == "sqlite":
        options["connect_args"] = {"timeout": _BUSY_SECONDS, "check_same_thread": False}
    else:
        # What another transaction has committed is seen at once; rows are locked where numbers are given.
        options["isolation_level"] = "READ COMMITTED"
    try:
        engine = create_engine(url, **options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        extra = _DRIVERS.get(name, (name, "sql"))[1]
        raise ConfigError(
            f"the database {url.drivername} needs a driver that is not installed",
            hint=f"Install it: pip install 'agentrun[{extra}]'",
        ) from error
    if name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # Transactions begin where we say so, not before the first change.
    deadline = time.monotonic() + _BUSY_SECONDS
    # SQLite itself does not wait for others with this, which happens once in the life of a file.
    while not _is_in_wal(connection):
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError("database is locked")
        time.sleep(0.02)
    connection.execute("PRAGMA synchronous=NORMAL")


def _is_in_wal(connection: Any) -> bool:
    try:
        return bool(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return False
        raise


def _begin_sqlite(connection: Connection) -> None:
    # A reader that becomes a writer would be refused when another has written meanwhile.
    write = connection.get_execution_options().get("agentrun_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


class SqlStorage:
    """Shelves in a database, in two tables that are made when they are missing.

    `url` is one of SQLAlchemy: sqlite:///file, postgresql://..., mysql://...; `clock` gives seconds of the time of day.
    """

    waits = True

    def __init__(self, url: str, ttl_seconds: float | None = None, clock: Callable[[], float] = time.time) -> None:
        self.url = usable_url(url)
        self._engine = _engine(self.url)
        self._ttl = ttl_seconds
        self._clock = clock
        self._open = False
        self._writes = 0

    def open(self) -> None:
        """Make what is missing in the database."""
        if self._open:
            return
        with _told():
            try:
                self._make_tables()
            except DBAPIError:
                self._make_tables()  # Another process has made them between the look and the attempt.
        self._open = True
        self._write(self._sweep)

    def _make_tables(self) -> None:
        with self._engine.connect().execution_options(agentrun_write=True) as connection, connection.begin():
            METADATA.create_all(connection)

    def close(self) -> None:
        """Give up the connections."""
        self._open = False
        self._engine.dispose()

    def ping(self) -> None:
        """Raise StorageError unless the database answers."""
        with self._transaction(write=False) as connection:
            connection.execute(select(1))

    def create(self, shelf: Shelf) -> None:
        """Make a shelf; one that exists stays as it is."""
        self._write(lambda connection: self._make(connection, shelf))

    def append(self, shelf: Shelf, values: Sequence[str], most: int | None = None) -> int:
        """Add entries after the last one, and say the number of the new last one; the oldest over `most` go."""

        def work(connection: Connection) -> int:
            id = self._make(connection, shelf)
            last = int(connection.scalar(select(func.max(ENTRIES.c.key)).where(ENTRIES.c.shelf_id == id)) or 0)
            _insert(connection, id, {numbered(last + place): value for place, value in enumerate(values, 1)})
            if most is not None:
                _trim(connection, id, most)
            return last + len(values)

        return self._write(work)

    def put(self, shelf: Shelf, entries: Mapping[str, str], *, replace: bool = True) -> None:
        """Set entries; without `replace` those that exist stay as they are."""

        def work(connection: Connection) -> None:
            id = self._make(connection, shelf)
            of_them = [ENTRIES.c.shelf_id == id, ENTRIES.c.key.in_(list(entries))]
            if replace:
                connection.execute(delete(ENTRIES).where(*of_them))
                _insert(connection, id, entries)
            else:
                known = set(connection.scalars(select(ENTRIES.c.key).where(*of_them)))
                _insert(connection, id, {key: value for key, value in entries.items() if key not in known})

        self._write(work)

    def find(self, shelf: Shelf, key: str | None = None) -> Entry | None:
        """An entry, the last one without a key."""
        query = self._entries(_is(shelf)).where(ENTRIES.c.key == key if key is not None else true())
        rows = self._look(_is(shelf), query.order_by(ENTRIES.c.key.desc()).limit(1))
        return Entry(rows[0][1], rows[0][2]) if rows and rows[0][1] is not None else None

    def read(self, shelf: Shelf) -> list[Entry] | None:
        """All entries in order, None when there is no such shelf."""
        return _grouped(self._look(_is(shelf), self._entries(_is(shelf)).order_by(ENTRIES.c.key))).get(shelf.name)

    def read_all(self, kind: str, owner: str) -> dict[str, list[Entry]]:
        """The entries of all shelves of an owner, in the order in which the shelves were made."""
        of_owner = _of(kind, owner)
        return _grouped(self._look(of_owner, self._entries(of_owner).order_by(SHELVES.c.id, ENTRIES.c.key)))

    def drop(self, shelf: Shelf, keys: Sequence[str]) -> None:
        """Remove entries."""
        ids = select(SHELVES.c.id).where(_is(shelf)).scalar_subquery()
        removal = delete(ENTRIES).where(ENTRIES.c.shelf_id == ids, ENTRIES.c.key.in_(list(keys)))
        self._write(lambda connection: connection.execute(removal))

    def delete(self, shelf: Shelf) -> None:
        """Remove a shelf and what is on it."""

        def work(connection: Connection) -> None:
            # Locked first, as by who writes to it: else an entry that is written meanwhile would stay behind.
            id = connection.scalar(select(SHELVES.c.id).where(_is(shelf)).with_for_update())
            if id is not None:
                _remove(connection, [id])

        self._write(work)

    def shelves(self, kind: str, owner: str, after: int = 0, limit: int = 100) -> list[Place]:
        """The next shelves of an owner behind a position."""
        query = select(SHELVES.c.id, SHELVES.c.name).where(_of(kind, owner), self._alive(), SHELVES.c.id > after)
        with self._transaction(write=False) as connection:
            return [Place(*row) for row in connection.execute(query.order_by(SHELVES.c.id).limit(limit))]

    def owners(self, kind: str) -> list[str]:
        """Who has shelves of a kind, in no order."""
        # With the digest, because a database may take one text for another.
        query = select(SHELVES.c.owner_digest, SHELVES.c.owner).where(SHELVES.c.kind == kind, self._alive()).distinct()
        with self._transaction(write=False) as connection:
            return [owner for _, owner in connection.execute(query)]

    def _alive(self) -> ColumnElement[bool]:
        return or_(SHELVES.c.expires_at.is_(None), SHELVES.c.expires_at > self._clock())

    def _until(self) -> float | None:
        return None if self._ttl is None else self._clock() + self._ttl

    def _entries(self, where: ColumnElement[bool]) -> Query:
        """Name, key and value of what is there; a shelf without entries is one row without a key."""
        return (
            select(SHELVES.c.name, ENTRIES.c.key, ENTRIES.c.value)
            .outerjoin_from(SHELVES, ENTRIES, ENTRIES.c.shelf_id == SHELVES.c.id)
            .where(where, self._alive())
        )

    def _look(self, where: ColumnElement[bool], query: Query) -> Rows:
        """What a query finds; the shelves that it looks at are kept for longer."""
        if self._ttl is None:
            with self._transaction(write=False) as connection:
                return connection.execute(query).all()

        def work(connection: Connection) -> Rows:
            connection.execute(update(SHELVES).where(where, self._alive()).values(expires_at=self._until()))
            return connection.execute(query).all()

        return self._write(work)

    def _make(self, connection: Connection, shelf: Shelf) -> int:
        """The id of a shelf, which is made when it is missing; from now on this transaction alone writes to it."""
        for _ in range(_ATTEMPTS):
            alive = select(SHELVES.c.id, self._alive()).where(_is(shelf)).with_for_update()
            row = connection.execute(alive).first()
            if row and row[1]:
                connection.execute(update(SHELVES).where(SHELVES.c.id == row[0]).values(expires_at=self._until()))
                return int(row[0])
            if row:
                _remove(connection, [row[0]])  # It is over, and what begins now has another position.
            values = {**shelf._asdict(), "digest": _digest(*shelf), "owner_digest": _digest(shelf.kind, shelf.owner)}
            try:
                with connection.begin_nested():
                    made = connection.execute(insert(SHELVES).values(**values, expires_at=self._until()))
                    return int(cast(Any, made.inserted_primary_key)[0])
            except IntegrityError:
                continue  # Another one was faster.
        raise StorageError(f"the shelf {shelf.name!r} could not be made", hint="Try again")

    def _sweep(self, connection: Connection) -> None:
        """Remove some of what is over; what others are at work on is left for another time."""
        over = select(SHELVES.c.id).where(SHELVES.c.expires_at <= self._clock()).limit(_MOST_SWEPT)
        ids = list(connection.scalars(over.with_for_update(skip_locked=True)))
        if ids:
            _remove(connection, ids)

    def _write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction, again when the database has ended it in favour of another one."""
        self._writes += 1
        if self._ttl is not None and self._writes % _WRITES_BETWEEN_SWEEPS == 0:
            self._write(self._sweep)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._transaction(write=True) as connection:
                    return work(connection)
            except _EndedError:
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def _transaction(self, write: bool) -> Generator[Connection]:
        if not self._open:
            raise StorageError("the service is not started", hint="Use it in `async with`, or await its start()")
        with _told(), self._engine.connect() as connection:
            connection.execution_options(agentrun_write=write)
            with connection.begin():
                yield connection


class _EndedError(StorageError):
    """The database has ended a transaction, because it and another one waited for each other."""


@contextmanager
def _told() -> Generator[None]:
    """Errors of the database as ours, without the statement and its parameters, which hold what users said."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        number = cause.args[0] if cause.args else None
        ended = getattr(cause, "sqlstate", None) in ("40001", "40P01") or number in (1205, 1213)
        kind = _EndedError if ended else StorageError
        text = str(cause).partition("\n")[0]
        raise kind(f"the database cannot do it: {text}", hint="Check its URL, and that it runs") from None


def _is(shelf: Shelf) -> ColumnElement[bool]:
    return SHELVES.c.digest == _digest(*shelf)


def _of(kind: str, owner: str) -> ColumnElement[bool]:
    return SHELVES.c.owner_digest == _digest(kind, owner)


def _grouped(rows: Rows) -> dict[str, list[Entry]]:
    """Entries by the name of their shelf."""
    found: dict[str, list[Entry]] = {}
    for name, key, value in rows:
        entries = found.setdefault(name, [])
        if key is not None:
            entries.append(Entry(key, value))
    return found


def _insert(connection: Connection, id: int, entries: Mapping[str, str]) -> None:
    if entries:
        connection.execute(
            insert(ENTRIES), [{"shelf_id": id, "key": key, "value": value} for key, value in entries.items()]
        )


def _trim(connection: Connection, id: int, most: int) -> None:
    """Leave the newest entries only."""
    newest_first = select(ENTRIES.c.key).where(ENTRIES.c.shelf_id == id).order_by(ENTRIES.c.key.desc())
    first_over = connection.scalar(newest_first.offset(most).limit(1))
    if first_over is not None:
        connection.execute(delete(ENTRIES).where(ENTRIES.c.shelf_id == id, ENTRIES.c.key <= first_over))


def _remove(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(ENTRIES).where(ENTRIES.c.shelf_id.in_(ids)))
    connection.execute(delete(SHELVES).where(SHELVES.c.id.in_(ids)))
