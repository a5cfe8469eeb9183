"""What several processes share, and what happens when the server with it is away."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis

from agentrun.errors import ConfigError, StorageError
from agentrun.server.services import (
    RedisSessionHistoryService,
    RedisStateService,
    SqlSessionHistoryService,
    SqlStateService,
)
from agentrun.server.services.storage.base import Entry, Shelf, numbered
from agentrun.server.services.storage.redis import RedisStorage
from agentrun.server.services.storage.sql import SqlStorage
from tests.unit.gateway.redis_server import RedisServer
from tests.unit.server.services.postgresql_server import PostgreSQLServer

WRITER = Path(__file__).with_name("writer.py")
ROOT = Path(__file__).parents[4]


def answers(url: str, count: int) -> list[list[int]]:
    """The rounds that two processes were given that began to write at the same time."""
    writers = [
        subprocess.Popen(
            [sys.executable, str(WRITER), url, name, str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for name in "ab"
    ]  # fmt: skip
    try:
        assert [each.stdout.readline() for each in writers if each.stdout] == ["ready\n"] * 2
        for each in writers:
            assert each.stdin
            each.stdin.write("go\n")
            each.stdin.flush()
        told = [each.communicate(timeout=120)[0] for each in writers]
        assert [each.returncode for each in writers] == [0, 0]
        return [list(map(int, each.split())) for each in told]
    finally:
        for each in writers:
            each.kill()
            each.wait()


@pytest.mark.asyncio
async def test_two_processes_that_begin_at_once_lose_nothing(url: str) -> None:
    first, second = answers(url, 40)
    assert sorted(first + second) == list(range(1, 81))
    in_redis = url.startswith("unix:")
    async with (RedisSessionHistoryService if in_redis else SqlSessionHistoryService)(url) as sessions:
        session = await sessions.get_session("user", "session")
        assert len(await sessions.list_sessions("user")) == 1
    said = [message["content"] for message in session.messages]
    for name in "ab":
        assert [each for each in said if each.startswith(name)] == [f"{name}-{n}" for n in range(40)]
    async with (RedisStateService if in_redis else SqlStateService)(url) as states:
        for name, rounds in zip("ab", (first, second), strict=True):
            for n, round_id in enumerate(rounds):
                assert await states.export_state("user", round_id=round_id) == {"by": name, "n": n}


@pytest.mark.asyncio
async def test_redis_that_is_away_is_told_and_comes_back(own_redis_server: RedisServer) -> None:
    async with RedisStateService(own_redis_server.url) as service:
        await service.save_state("user", {"n": 1})
        own_redis_server.stop()
        assert not await service.health()
        with pytest.raises(StorageError, match="Redis"):
            await service.save_state("user", {"n": 2})
        with pytest.raises(StorageError):
            await RedisStateService(own_redis_server.url).start()
        own_redis_server.start()
        assert await service.health()
        assert await service.save_state("user", {"n": 2}) == 1, "this server keeps nothing, and forgot the scripts too"


@pytest.mark.asyncio
async def test_redis_that_hangs_does_not_hang_the_agent(own_redis_server: RedisServer) -> None:
    async with RedisStateService(own_redis_server.url, socket_timeout=0.2) as service:
        await service.save_state("user", {"n": 1})
        own_redis_server.hang()
        with pytest.raises(StorageError, match=r"(?i)time"):
            await service.save_state("user", {"n": 2})
        own_redis_server.go_on()
        async with RedisStateService(own_redis_server.url) as another:
            assert await another.health()


@pytest.mark.asyncio
@pytest.mark.xdist_group("postgresql")
async def test_postgresql_that_is_away_is_told_and_comes_back(own_postgresql_server: PostgreSQLServer) -> None:
    async with SqlStateService(own_postgresql_server.url) as service:
        await service.save_state("user", {"secret": "s3cret"})
        own_postgresql_server.stop()
        assert not await service.health()
        with pytest.raises(StorageError, match="database") as caught:
            await service.save_state("user", {"secret": "s3cret"})
        assert "s3cret" not in str(caught.value)
        own_postgresql_server.start()
        assert await service.save_state("user", {"n": 2}) == 2


def test_all_of_redis_is_kept_as_long_as_it_is_used(own_redis_server: RedisServer) -> None:
    storage = RedisStorage(own_redis_server.url, 1000)
    storage.append(Shelf("kind", "owner", "name"), ["a"])
    assert len(own_redis_server.ends()) == 3
    assert all(990_000 < end <= 1_000_000 for end in own_redis_server.ends().values())
    longer = RedisStorage(own_redis_server.url, 5000)
    longer.append(Shelf("kind", "owner", "other"), ["a"])
    storage.find(Shelf("kind", "owner", "name"))
    ends = own_redis_server.ends()
    assert ends["agentrun:kind:{owner}"] > 4_900_000, "the index lives as long as all that it names"
    assert ends["agentrun:kind:{owner}:e:name"] <= 1_000_000
    lasting = RedisStorage(own_redis_server.url)
    lasting.append(Shelf("kind", "owner", "name"), ["b"])
    storage.append(Shelf("kind", "owner", "third"), ["b"])
    ends = own_redis_server.ends()
    assert ends["agentrun:kind:{owner}"] == ends["agentrun:kind:{owner}:e:name"] == -1
    for each in (storage, longer, lasting):
        each.close()


def test_what_redis_forgets_leaves_its_index(own_redis_server: RedisServer) -> None:
    storage, lasting = RedisStorage(own_redis_server.url, 0.05), RedisStorage(own_redis_server.url)
    lasting.create(Shelf("kind", "owner", "stays"))
    for n in range(5):
        storage.append(Shelf("kind", "owner", str(n)), ["a"])
    time.sleep(0.3)
    assert [place.name for place in lasting.shelves("kind", "owner", limit=2)] == ["stays"]
    assert list(lasting.read_all("kind", "owner")) == ["stays"]
    assert own_redis_server.ends().keys() == {"agentrun:kind:{owner}", "agentrun:kind:{owner}:e:stays"}
    storage.append(Shelf("kind", "owner", "0"), ["b"])
    assert storage.find(Shelf("kind", "owner", "0")) == Entry(numbered(1), "b")
    for each in (storage, lasting):
        each.close()


@pytest.mark.parametrize(
    "url",
    [
        "s3cret",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+asyncpg://user:s3cret@host/db",
        "sqlite+aiosqlite:///file",
        "nosuchdatabase://user:s3cret@host/db",
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SqlStorage(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.hint


def test_a_url_or_client_of_redis_that_cannot_be_used_is_told() -> None:
    with pytest.raises(ConfigError, match="redis://") as caught:
        RedisStorage("s3cret")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"redis\.Redis"):
        RedisStorage(redis_client=object())


def test_a_client_of_ones_own_is_used_and_left_open(own_redis_server: RedisServer) -> None:
    for decode in (False, True):
        with Redis.from_url(own_redis_server.url, decode_responses=decode) as client:  # pyright: ignore
            storage = RedisStorage(redis_client=client, prefix=f"{decode}*[x]:")
            storage.open()
            storage.append(Shelf("kind", "owner", "name"), ["\u4f60\u597d"])
            assert storage.find(Shelf("kind", "owner", "name")) == Entry(numbered(1), "\u4f60\u597d")
            assert [place.name for place in storage.shelves("kind", "owner")] == ["name"]
            assert storage.owners("kind") == ["owner"]
            storage.close()
            assert client.ping()  # pyright: ignore[reportUnknownMemberType]


@pytest.mark.parametrize(("name", "library"), [("SqlStateService", "sqlalchemy"), ("RedisStateService", "redis")])
def test_a_missing_library_is_told_in_one_line(name: str, library: str) -> None:
    script = f"import sys; sys.modules['{library}'] = None; from agentrun.server.services import {name}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (
        done.stderr.strip().splitlines()[-1].startswith(f"ImportError: {name} needs {library}: pip install 'agentrun[")
    )


def test_services_in_memory_load_no_database() -> None:
    script = "import json, sys, agentrun.server.services; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {"sqlalchemy", "redis", "starlette"}.isdisjoint(json.loads(done.stdout))
