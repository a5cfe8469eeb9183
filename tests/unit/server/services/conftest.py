"""The media that services are tested with; each test has one for itself, on servers that all share."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from agentrun.server import services
from agentrun.server.services import MemoryService, SessionHistoryService, StateService
from agentrun.server.services.storage.base import Storage
from agentrun.server.services.storage.memory import MemoryStorage
from agentrun.server.services.storage.redis import RedisStorage
from agentrun.server.services.storage.sql import SqlStorage
from tests.unit.gateway.redis_server import RedisServer
from tests.unit.server.services.mariadb_server import MariaDBServer
from tests.unit.server.services.postgresql_server import PostgreSQLServer

T = TypeVar("T")
Make: TypeAlias = Callable[..., Storage]
"""Makes a storage, with `ttl_seconds` and `clock`, that another call leads to as well, unless it is in memory."""

# One worker for each server, so that it is started once.
DATABASES = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql")),
    pytest.param("mariadb", marks=pytest.mark.xdist_group("mariadb")),
]
SHARED = [*DATABASES, pytest.param("redis", marks=pytest.mark.xdist_group("services-redis"))]
MEDIA = ["memory", *SHARED]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    server = PostgreSQLServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    server = MariaDBServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture(params=["memory", *DATABASES])
def clocked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Storage, Clock]]:
    """A storage that forgets after a hundred seconds of a clock; Redis goes by its own."""
    clock = Clock()
    if request.param == "memory":
        storage: Storage = MemoryStorage(100, clock)
    else:
        storage = SqlStorage(url_of(request.param, request, tmp_path), 100, clock)
    storage.open()
    yield storage, clock
    storage.close()


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def own_postgresql_server() -> Iterator[PostgreSQLServer]:
    server = PostgreSQLServer()
    yield server
    server.close()


def postgresql_url(request: pytest.FixtureRequest) -> str:
    """A database of its own on the server of all tests."""
    server: PostgreSQLServer = request.getfixturevalue("postgresql_server")
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    return server.url.replace("/postgres?", f"/{name}?")


def url_of(medium: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Where a test has a medium for itself."""
    if medium == "sqlite":
        return f"sqlite:///{folder}/agent.db"
    if medium == "postgresql":
        return postgresql_url(request)
    if medium == "mariadb":
        mariadb: MariaDBServer = request.getfixturevalue("mariadb_server")
        return mariadb.make_database(f"test_{uuid.uuid4().hex}")
    server: RedisServer = request.getfixturevalue("redis_server")
    server.empty()
    return server.url


@pytest.fixture(params=SHARED)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What several processes can share."""
    return url_of(request.param, request, tmp_path)


@dataclass(frozen=True)
class Medium:
    """Makes the services of one medium; all of them see the same, unless they are in memory."""

    name: str
    where: str

    @property
    def lasts(self) -> bool:
        return self.name != "memory"

    def state(self, **options: Any) -> StateService:
        return self._make(StateService, options)

    def sessions(self, **options: Any) -> SessionHistoryService:
        return self._make(SessionHistoryService, options)

    def memory(self, **options: Any) -> MemoryService:
        return self._make(MemoryService, options)

    def _make(self, kind: type[T], options: dict[str, Any]) -> T:
        prefix = {"memory": "InMemory", "redis": "Redis"}.get(self.name, "Sql")
        made: T = getattr(services, prefix + kind.__name__)(*[self.where] if self.where else [], **options)
        return made


@pytest.fixture(params=MEDIA)
def medium(request: pytest.FixtureRequest, tmp_path: Path) -> Medium:
    return Medium(request.param, "" if request.param == "memory" else url_of(request.param, request, tmp_path))


@pytest.fixture(params=MEDIA)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes storages of one medium."""
    made: list[Storage] = []
    where = "" if request.param == "memory" else url_of(request.param, request, tmp_path)

    kinds: dict[str, Make] = {"memory": MemoryStorage, "redis": RedisStorage}

    def make_one(**options: object) -> Storage:
        storage = kinds.get(request.param, SqlStorage)(*[where] if where else [], **options)
        made.append(storage)
        return storage

    yield make_one
    for storage in made:
        storage.close()
