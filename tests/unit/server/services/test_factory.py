"""Services that the environment describes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentrun.errors import InvalidInputError
from agentrun.server.services import (
    InMemoryStateService,
    MemoryServiceFactory,
    RedisSessionHistoryService,
    SandboxService,
    SandboxServiceFactory,
    SessionHistoryServiceFactory,
    SqlMemoryService,
    StateService,
    StateServiceFactory,
)

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for prefix in ("STATE", "SESSION_HISTORY", "MEMORY", "SANDBOX"):
        monkeypatch.delenv(f"{prefix}_BACKEND", raising=False)
    yield
    StateServiceFactory.backends.pop("mine", None)


async def test_without_an_environment_it_is_memory() -> None:
    async with await StateServiceFactory.create() as service:
        assert isinstance(service, InMemoryStateService)
        assert await service.save_state("ada", {"a": 1}) == 1


async def test_the_environment_names_the_back_end_and_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "memory.db"
    monkeypatch.setenv("MEMORY_BACKEND", "SQL")
    monkeypatch.setenv("MEMORY_SQL_URL", f"sqlite:///{database}")
    monkeypatch.setenv("MEMORY_SQL_MAX_MESSAGES_PER_SESSION", "1")
    monkeypatch.setenv("MEMORY_SQL_TTL_SECONDS", "")
    async with await MemoryServiceFactory.create() as service:
        assert isinstance(service, SqlMemoryService)
        await service.add_memory("ada", [{"role": "user", "content": word} for word in ("one", "two")])
        assert [message["content"] for message in await service.list_memory("ada")] == ["two"]
    assert database.exists()


async def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_HISTORY_BACKEND", "in_memory")
    monkeypatch.setenv("SESSION_HISTORY_REDIS_REDIS_URL", "nonsense")
    monkeypatch.setenv("SESSION_HISTORY_REDIS_SOCKET_TIMEOUT", "2.5")
    service = await SessionHistoryServiceFactory.create(
        "redis", redis_url="redis://127.0.0.1:1/0", max_messages_per_session=3
    )
    assert isinstance(service, RedisSessionHistoryService)
    assert service.most == 3


async def test_a_value_that_is_none_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_SQL_TTL_SECONDS", "soon")
    with pytest.raises(InvalidInputError, match=r"STATE_SQL_TTL_SECONDS: .*number"):
        await StateServiceFactory.create("sql")


async def test_an_argument_that_there_is_not_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_IN_MEMORY_TTL", "5")
    with pytest.raises(InvalidInputError, match=r"STATE_IN_MEMORY_TTL: .*no argument 'ttl'"):
        await StateServiceFactory.create()


async def test_a_back_end_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(size: int, name: str = "") -> StateService:
        made.append((size, name))
        return InMemoryStateService()

    made: list[tuple[int, str]] = []
    StateServiceFactory.register_backend("Mine", make)
    monkeypatch.setenv("STATE_BACKEND", "mine")
    monkeypatch.setenv("STATE_MINE_SIZE", "7")
    await StateServiceFactory.create(name="given")
    assert made == [(7, "given")]
    with pytest.raises(InvalidInputError, match="SESSION_HISTORY_BACKEND: there is no back end 'mine'"):
        await SessionHistoryServiceFactory.create("mine")


async def test_sandboxes_have_a_factory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_DEFAULT_DRAIN_ON_STOP", "false")
    service = await SandboxServiceFactory.create()
    assert isinstance(service, SandboxService)
    assert service.drain_on_stop is False
