from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from agentrun.emulator.backends.base import NetworkPolicy, SandboxSpec
from agentrun.emulator.backends.docker import DockerBackend
from agentrun.emulator.backends.docker.engine import Engine
from agentrun.emulator.backends.docker.pool import Shape
from tests.emulator.backends.docker.conftest import containers_of, execute, shell, started, within

pytestmark = pytest.mark.asyncio(loop_scope="module")
PLAIN = SandboxSpec("first", {"KIND": "plain"})


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def warm(image: str, run_directory: Path) -> AsyncGenerator[DockerBackend]:
    backend = DockerBackend(run_directory=run_directory, emulator_socket=None, emulator_port=7000, warm=1)
    await backend.start()
    yield backend
    await backend.close()


async def test_the_second_of_a_shape_waits_already(warm: DockerBackend) -> None:
    first = await started(warm, PLAIN)
    await within(20, lambda: warm.pool.count(Shape.of(PLAIN)) == 1)
    began = time.perf_counter()
    second = await started(warm, SandboxSpec("second", {"KIND": "plain"}))
    took = time.perf_counter() - began
    assert took < 0.1
    assert second.container != first.container
    assert await shell(second, "echo $KIND") == "plain\n"
    assert (await execute(second, "1+1"))[0]["text"] == "2"
    await within(5, lambda: any("/agentrun" in name and "second" in name for name in _names(warm)))
    await within(20, lambda: warm.pool.count(Shape.of(PLAIN)) == 1)
    await first.stop()
    await second.stop()


async def test_another_environment_is_another_shape(warm: DockerBackend) -> None:
    other = await started(warm, SandboxSpec("other", {"KIND": "other"}))
    assert await shell(other, "echo $KIND") == "other\n"
    await other.stop()
    assert Shape.of(SandboxSpec("x", network=NetworkPolicy("off"))) != Shape.of(SandboxSpec("x"))


async def test_one_that_died_while_waiting_is_not_handed_out(warm: DockerBackend) -> None:
    await (await started(warm, PLAIN)).stop()
    await within(20, lambda: warm.pool.count(Shape.of(PLAIN)) == 1)
    for container in containers_of(warm):
        warm.engine.remove(container["Id"])
    await within(5, lambda: warm.pool.count(Shape.of(PLAIN)) == 0)
    running = await started(warm, PLAIN)
    assert await shell(running, "echo alive") == "alive\n"
    await running.stop()


async def test_closing_ends_those_that_wait(engine: Engine, image: str, run_directory: Path) -> None:
    # Its own folder: backends of one process would give the same names.
    backend = DockerBackend(run_directory=run_directory / "r", emulator_socket=None, emulator_port=7000, warm=1)
    await backend.start()
    await started(backend, PLAIN)
    await within(20, lambda: backend.pool.count(Shape.of(PLAIN)) == 1)
    assert len(containers_of(backend)) == 2
    await backend.close()
    assert engine.containers(f"agentrun.instance={backend.owner.nonce}") == []


def _names(backend: DockerBackend) -> list[str]:
    return [name for container in containers_of(backend) for name in container["Names"]]
