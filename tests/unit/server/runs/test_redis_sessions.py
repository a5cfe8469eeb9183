"""What only sessions in Redis go through: processes that die, messages that are missed, and a Redis that is away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from agentrun.errors import ConfigError, StorageError
from agentrun.server.model import AgentRequest
from agentrun.server.runs.redis_interrupts import RedisInterruptBackend
from agentrun.server.runs.sessions import Sessions
from tests.unit.gateway.redis_server import RedisServer
from tests.unit.server.runs.conftest import LEASE_SECONDS
from tests.unit.server.runs.test_sessions import PATIENCE, Waiting, begun, question, run, until

pytestmark = [pytest.mark.asyncio, pytest.mark.xdist_group("runs-redis")]

_HOLDS_A_SESSION = """
import asyncio, sys
from agentrun.server.runs.redis_interrupts import RedisInterruptBackend

async def main():
    backend = RedisInterruptBackend(sys.argv[1], lease_seconds=float(sys.argv[2]), prefix=sys.argv[3])
    print(await backend.begin("u:s", print), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest_asyncio.fixture
async def sessions(redis_server: RedisServer, prefix: str) -> AsyncGenerator[Sessions, None]:
    made = Sessions(RedisInterruptBackend(redis_server.url, lease_seconds=LEASE_SECONDS, prefix=prefix))
    yield made
    await made.close()


@pytest.fixture
def holder(redis_server: RedisServer, prefix: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, which has a session."""
    command = [sys.executable, "-c", _HOLDS_A_SESSION, redis_server.url, str(LEASE_SECONDS), prefix]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() not in ("", "None")
        yield process
        process.kill()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


async def hello(request: AgentRequest) -> str:
    return "hello"


async def test_a_process_that_is_killed_leaves_its_session_free(
    holder: subprocess.Popen[str], sessions: Sessions
) -> None:
    assert await run(hello, sessions, question()) == ["SESSION_BUSY"]
    await asyncio.sleep(1.5 * LEASE_SECONDS)  # Alive, it keeps the session.
    assert await run(hello, sessions, question()) == ["SESSION_BUSY"]
    holder.kill()
    killed = time.monotonic()
    while await run(hello, sessions, question()) != ["hello"]:
        await asyncio.sleep(0.02)
        assert time.monotonic() < killed + PATIENCE
    assert time.monotonic() < killed + LEASE_SECONDS + 2


async def test_a_stop_reaches_a_server_that_missed_the_message(sessions: Sessions, redis_server: RedisServer) -> None:
    agent = Waiting()
    running = await begun(agent, sessions, question())
    redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
    await sessions.stop("u", "s")
    assert await running.result() == ["began", "CancelledError"]
    assert agent.cancelled == 1


async def test_a_redis_that_forgot_everything_gets_its_sessions_back(own_redis: RedisServer) -> None:
    agent, sessions = Waiting(), Sessions(RedisInterruptBackend(own_redis.url, lease_seconds=LEASE_SECONDS))
    running = await begun(agent, sessions, question())
    own_redis.stop()
    own_redis.start()
    await until(lambda: any("session:u:s" in key for key in own_redis.ends()))
    assert await run(agent, sessions, question()) == ["SESSION_BUSY"]
    assert await sessions.stop("u", "s")
    assert await running.result() == ["began", "CancelledError"]
    await sessions.close()


async def test_a_run_whose_session_another_one_has_ends(
    sessions: Sessions, redis_server: RedisServer, prefix: str
) -> None:
    agent = Waiting()
    running = await begun(agent, sessions, question())
    redis_server.command("SET", f"{prefix}runs:session:u:s", "another")
    assert await running.result() == ["began", "SESSION_LOST"]
    assert agent.cancelled == 1
    assert f"{prefix}runs:session:u:s" in redis_server.ends()


async def test_nothing_runs_twice_while_redis_is_away(own_redis: RedisServer) -> None:
    sessions = Sessions(RedisInterruptBackend(own_redis.url, lease_seconds=LEASE_SECONDS))
    own_redis.stop()
    assert await run(hello, sessions, question()) == ["SESSIONS_UNAVAILABLE"]
    with pytest.raises(StorageError):
        await sessions.stop("u", "s")
    assert await run(hello, sessions, question(None)) == ["hello"]
    own_redis.start()
    assert await run(hello, sessions, question()) == ["hello"]
    await sessions.close()


async def test_a_run_goes_on_while_redis_is_away(own_redis: RedisServer) -> None:
    agent, sessions = Waiting(), Sessions(RedisInterruptBackend(own_redis.url, lease_seconds=LEASE_SECONDS))
    running = await begun(agent, sessions, question())
    own_redis.stop()
    await asyncio.sleep(1.5 * LEASE_SECONDS)
    agent.may_end.set()
    assert await running.result() == ["began", "ended"]
    await sessions.close()


async def test_whoever_goes_away_while_the_session_is_asked_for_does_not_keep_it(
    redis_server: RedisServer, prefix: str
) -> None:
    backend = RedisInterruptBackend(redis_server.url, lease_seconds=60, prefix=prefix)
    for wait in [0.0, 0.0001, 0.0002, 0.0005, 0.001, 0.002] * 5:
        asking = asyncio.create_task(backend.begin("u:s", _ignored))
        await asyncio.sleep(wait)
        asking.cancel()
        (result,) = await asyncio.gather(asking, return_exceptions=True)
        if isinstance(result, str):
            await backend.end("u:s", result)
        await _until_free(backend)
    await backend.close()


async def _until_free(backend: RedisInterruptBackend) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        token = await backend.begin("u:s", _ignored)
        if token is not None:
            await backend.end("u:s", token)
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def _ignored(_: Any) -> None:
    pass


async def test_a_url_that_is_none_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError) as refused:
        RedisInterruptBackend("http://:geheim@localhost")
    assert "geheim" not in str(refused.value)
    assert "redis://" in str(refused.value)
