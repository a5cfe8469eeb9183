"""A Redis server for the tests that need one, and a clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.gateway.clocks import ManualClock
from tests.unit.gateway.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server for all tests, which may not stop it."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """A server for one test, which may stop it."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
