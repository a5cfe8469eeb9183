"""The storages that services are tested with, each of a test's own: databases share a server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest

from agentrun.server.services.storage.base import Storage
from agentrun.server.services.storage.memory import MemoryStorage
from agentrun.server.services.storage.sql import SqlStorage
from tests.unit.server.services.postgresql_server import PostgreSQLServer

Make: TypeAlias = Callable[..., Storage]
"""Makes a storage, with `ttl_seconds` and `clock`, that another call leads to as well, unless it is in memory."""

# One worker for each server, so that it is started once.
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))]
STORAGES = ["memory", *DATABASES]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    server = PostgreSQLServer()
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
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]  # pyright: ignore
    return server.url.replace("/postgres?", f"/{name}?")


def url_of(medium: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Where a test has a medium for itself."""
    return f"sqlite:///{folder}/agent.db" if medium == "sqlite" else postgresql_url(request)


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What several processes can share."""
    return url_of(request.param, request, tmp_path)


@pytest.fixture(params=STORAGES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes storages of one medium."""
    made: list[Storage] = []
    where = "" if request.param == "memory" else url_of(request.param, request, tmp_path)

    def make_one(**options: object) -> Storage:
        kind: Make = MemoryStorage if request.param == "memory" else SqlStorage
        storage = kind(*[where] if where else [], **options)
        made.append(storage)
        return storage

    yield make_one
    for storage in made:
        storage.close()
