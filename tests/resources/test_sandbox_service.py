"""Sandboxes of sessions: each finds its own again, and none is left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

import pytest

from agentrun import CodeInterpreterSandbox, Config, InvalidInputError, Sandbox, SandboxClient, SandboxError
from agentrun.emulator import Emulator
from agentrun.sandbox.boxes import BaseSandbox, BaseSandboxAsync, FilesystemSandbox
from agentrun.server.services import SandboxService
from tests.resources.sandboxes import TEMPLATE, account


class SandboxType(Enum):
    BASE = "base"


@pytest.fixture
def config(emulator: Emulator) -> Iterator[Config]:
    with account(emulator) as config:
        yield config


def alive(config: Config) -> list[str]:
    found = SandboxClient(config).list_sandboxes().sandboxes or ()
    return sorted(sandbox.sandbox_id or "" for sandbox in found if sandbox.status != "TERMINATED")


def test_a_session_finds_its_sandboxes_again(config: Config) -> None:
    service = SandboxService(config=config)
    base, files = service.connect("s1", "ada", ["base", "filesystem"])
    assert isinstance(base, BaseSandbox)
    assert isinstance(files, FilesystemSandbox)
    assert base.run_ipython_cell("print(6 * 7)")["content"][0]["text"].strip() == "42"
    assert service.connect("s1", "ada", [SandboxType.BASE]) == [base]
    (other,) = service.connect("s1")
    assert other.sandbox_id != base.sandbox_id
    assert service.release("s1", "ada") is True
    assert alive(config) == [other.sandbox_id]
    assert service.release("s1", "ada") is False
    asyncio.run(service.stop())
    assert alive(config) == []


def test_names_do_not_run_together(config: Config) -> None:
    service = SandboxService(config=config)
    (one,), (two,) = service.connect("a_b"), service.connect("a", "b")
    assert one is not two
    asyncio.run(service.stop())


def test_who_comes_at_the_same_time_gets_the_same(config: Config) -> None:
    service = SandboxService(config=config)
    with ThreadPoolExecutor(4) as pool:
        found = [future.result()[0] for future in [pool.submit(service.connect, "s1") for _ in range(4)]]
    assert len(set(map(id, found))) == 1
    assert len(alive(config)) == 1
    asyncio.run(service.stop())


def test_one_that_ended_is_replaced(config: Config) -> None:
    service = SandboxService(config=config)
    (first,) = service.connect("s1")
    Sandbox.delete_by_id(first.sandbox_id, config=config)
    (second,) = service.connect("s1")
    assert second.sandbox_id != first.sandbox_id
    assert alive(config) == [second.sandbox_id]
    asyncio.run(service.stop())


def test_tasks_share_a_session_and_templates_make_other_types(config: Config) -> None:
    async def both() -> None:
        async with SandboxService(config=config, templates={"browser": TEMPLATE}) as service:
            assert await service.health()
            (box, own), again = await asyncio.gather(
                service.connect_async("s1", sandbox_types=["base_async", "browser"]),
                service.connect_async("s1", sandbox_types=["browser"]),
            )
            assert isinstance(box, BaseSandboxAsync)
            assert isinstance(own, CodeInterpreterSandbox)
            assert again == [own]
            assert (await own.context.execute_async("1 + 1")).text == "2"

    asyncio.run(both())
    assert alive(config) == []


def test_a_session_that_is_released_while_it_is_connected_leaves_nothing(config: Config) -> None:
    async def race() -> None:
        service = SandboxService(config=config)
        connecting = asyncio.create_task(service.connect_async("s1", sandbox_types=["base", "filesystem"]))
        await asyncio.sleep(0)
        assert await service.release_async("s1") is True
        with pytest.raises(SandboxError, match=r"the sandbox of type '.*' is closed"):
            await connecting

    asyncio.run(race())
    assert alive(config) == []


def test_those_that_are_not_drained_stay(config: Config) -> None:
    service = SandboxService(config=config, drain_on_stop=False)
    (box,) = service.connect("s1")
    asyncio.run(service.stop())
    assert alive(config) == [box.sandbox_id]
    box.close()


def test_what_cannot_be_is_refused(config: Config) -> None:
    with pytest.raises(InvalidInputError, match="no type of sandbox 'mobile'"):
        SandboxService(config=config).connect("s1", sandbox_types=["base", "mobile"])
    with pytest.raises(InvalidInputError, match="session_id is empty"):
        SandboxService(config=config).connect("")
    with pytest.raises(InvalidInputError, match="base_url has no meaning here"):
        SandboxService(base_url="http://elsewhere")
    assert alive(config) == []
