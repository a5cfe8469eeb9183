"""States of agents: what is saved is what comes back, whatever keeps it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentrun.errors import InvalidInputError, StorageError
from agentrun.server.services import InMemoryStateService, StateService
from tests.unit.server.services.conftest import Medium

STATE = {"memory": [{"role": "user", "text": "\u4f60\u597d \U0001f600 \0"}], "n": 1.5, "none": None}

WRONG: list[tuple[str, tuple[Any, ...]]] = [
    ("user_id", ("", {})),
    ("user_id", (7, {})),
    ("user_id", ("\0", {})),
    ("session_id", ("user", {}, "\ud800")),
    ("round_id", ("user", {}, None, -1)),
    ("round_id", ("user", {}, None, True)),
    ("state", ("user", {"when": object()})),
]

pytestmark = pytest.mark.asyncio


async def test_rounds_are_numbered_from_one(medium: Medium) -> None:
    async with medium.state() as service:
        assert await service.save_state("user", {"n": 1}) == 1
        assert await service.save_state("user", STATE) == 2
        assert await service.export_state("user") == STATE
        assert await service.export_state("user", round_id=1) == {"n": 1}
        assert await service.export_state("user", round_id=3) is None


async def test_a_round_may_be_chosen_and_overwritten(medium: Medium) -> None:
    async with medium.state() as service:
        assert await service.save_state("user", {"n": 10}, "session", 10) == 10
        assert await service.save_state("user", {"n": 2}, "session", round_id=2) == 2
        assert await service.save_state("user", {"n": 3}, "session", round_id=2) == 2
        assert await service.export_state("user", "session") == {"n": 10}
        assert await service.export_state("user", "session", 2) == {"n": 3}
        assert await service.save_state("user", {"n": 11}, "session") == 11


async def test_users_and_sessions_are_apart(medium: Medium) -> None:
    async with medium.state() as service:
        await service.save_state("a:b", {"n": 1}, "c")
        await service.save_state("a", {"n": 2}, "b:c")
        await service.save_state("a", {"n": 3})
        assert await service.export_state("a:b", "c") == {"n": 1}
        assert await service.export_state("a", "b:c") == {"n": 2}
        assert await service.export_state("a", "default") == {"n": 3}
        assert await service.export_state("a:b") is None
        await service.delete_state("a", "b:c")
        assert await service.export_state("a", "b:c") is None
        assert await service.export_state("a") == {"n": 3}


async def test_what_was_saved_does_not_change_with_what_was_given(medium: Medium) -> None:
    state: dict[str, Any] = {"list": [1]}
    async with medium.state() as service:
        await service.save_state("user", state)
        state["list"].append(2)
        found = await service.export_state("user")
        assert found == {"list": [1]}
        (found or {}).clear()
        assert await service.export_state("user") == {"list": [1]}


async def test_writers_of_one_session_get_rounds_of_their_own(medium: Medium) -> None:
    async with medium.state() as service:
        rounds = await asyncio.gather(*[service.save_state("user", {"n": n}) for n in range(50)])
        assert sorted(rounds) == list(range(1, 51))
        for n, round_id in enumerate(rounds):
            assert await service.export_state("user", round_id=round_id) == {"n": n}


async def test_a_state_is_forgotten_in_time(medium: Medium) -> None:
    async with medium.state(ttl_seconds=0.2) as service:
        await service.save_state("user", STATE)
        await asyncio.sleep(0.5)
        assert await service.export_state("user") is None


@pytest.mark.parametrize(
    ("field", "arguments"),
    WRONG,
)
async def test_what_cannot_be_kept_is_refused(medium: Medium, field: str, arguments: tuple[Any, ...]) -> None:
    async with medium.state() as service:
        with pytest.raises(InvalidInputError) as caught:
            await service.save_state(*arguments)
        assert caught.value.field == field


async def test_a_service_is_used_while_it_is_started(medium: Medium) -> None:
    service = medium.state()
    assert not await service.health()
    with pytest.raises(StorageError, match="not started"):
        await service.save_state("user", STATE)
    await service.start()
    await service.start()
    assert await service.health()
    await service.save_state("user", STATE)
    await service.stop()
    await service.stop()
    assert not await service.health()
    with pytest.raises(RuntimeError, match="start"):
        await service.export_state("user")
    async with service:
        assert await service.export_state("user") == (STATE if medium.lasts else None)


async def test_a_service_serves_several_event_loops(medium: Medium) -> None:
    async with medium.state() as service:
        await service.save_state("user", STATE)
        found = await asyncio.to_thread(asyncio.run, service.export_state("user"))
        assert found == STATE


async def test_a_storage_of_ones_own_makes_a_service() -> None:
    async with InMemoryStateService() as one:
        assert isinstance(one, StateService)
