"""A Redis that the tests of runs share; each test has keys of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Iterator

import pytest
import pytest_asyncio

from agentrun.server.runs.interrupts import InterruptBackend, LocalInterruptBackend
from agentrun.server.runs.redis_interrupts import RedisInterruptBackend
from agentrun.server.runs.sessions import Sessions
from tests.unit.gateway.redis_server import RedisServer

REDIS = pytest.param("redis", marks=pytest.mark.xdist_group("runs-redis"))
LEASE_SECONDS = 0.6


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex}:"


@pytest_asyncio.fixture(params=["local", REDIS])
async def make_sessions(request: pytest.FixtureRequest, prefix: str) -> AsyncGenerator[Callable[[], Sessions], None]:
    """Makes the sessions of one server after another, which know each other's runs."""
    local = LocalInterruptBackend()
    made: list[Sessions] = []

    def make() -> Sessions:
        backend: InterruptBackend = local
        if request.param == "redis":
            server: RedisServer = request.getfixturevalue("redis_server")
            backend = RedisInterruptBackend(server.url, lease_seconds=LEASE_SECONDS, prefix=prefix)
        made.append(Sessions(backend))
        return made[-1]

    yield make
    for sessions in made:
        await sessions.close()
