from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from agentrun.emulator.backends.docker import DockerBackend
from agentrun.emulator.backends.docker.engine import Engine
from agentrun.emulator.backends.docker.freezer import find_freezer
from agentrun.emulator.backends.docker.ownership import BOOT, INSTANCE, Owner
from agentrun.emulator.backends.docker.sweeping import remove_everything_of, sweep_orphans

PROGRAM = """
import sys
from agentrun.emulator.backends.docker.ownership import Owner
print(Owner.this_process(), flush=True)
sys.stdin.read()
"""


class Mortal:
    """An owner that lives until it is told to end: what is made in its name is swept by nobody before."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", PROGRAM]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        owner = Owner.parse(self._process.stdout.readline().strip())
        assert owner is not None
        self.owner = owner

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def mortal() -> Generator[Mortal]:
    mortal = Mortal()
    yield mortal
    mortal.end()


def run(engine: Engine, image: str, labels: Mapping[str, str]) -> str:
    config = {
        "Image": image,
        "Entrypoint": ["sleep", "600"],
        "Labels": dict(labels),
        "HostConfig": {"NetworkMode": "none"},
    }
    container = engine.create("", config)
    engine.start(container)
    return container


def exists(engine: Engine, container: str) -> bool:
    return any(found["Id"] == container for found in engine.containers("agentrun-test"))


@pytest.fixture
def made(engine: Engine) -> Generator[list[str]]:
    made: list[str] = []
    yield made
    for container in made:
        engine.remove(container)


def test_only_what_a_dead_emulator_left_is_removed(engine: Engine, image: str, made: list[str], mortal: Mortal) -> None:
    mark = {"agentrun-test": "1"}
    alive = Owner.this_process()
    elsewhere = replace(mortal.owner, pid_namespace="pid:[1]")
    owners = {
        "orphan": mortal.owner.labels("x"),
        "own": alive.labels("x"),
        "elsewhere": elsewhere.labels("x"),
        "foreign": {},
        "garbled": {BOOT: "nonsense"},
    }
    containers = {name: run(engine, image, {**labels, **mark}) for name, labels in owners.items()}
    made += containers.values()
    sweep_orphans(engine)
    assert {name for name, container in containers.items() if exists(engine, container)} == set(owners)
    mortal.end()
    sweep_orphans(engine)
    assert {name for name, container in containers.items() if exists(engine, container)} == set(owners) - {"orphan"}
    remove_everything_of(engine, alive.nonce)
    assert {name for name, container in containers.items() if exists(engine, container)} == {
        "elsewhere",
        "foreign",
        "garbled",
    }


def test_those_who_sweep_at_once_do_not_disturb_each_other(
    engine: Engine, image: str, made: list[str], mortal: Mortal
) -> None:
    made += [run(engine, image, {**mortal.owner.labels(), "agentrun-test": "1"}) for _ in range(3)]
    mortal.end()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sweep_orphans, [engine] * 4)) == [None] * 4
    assert not any(exists(engine, container) for container in made)


def test_a_frozen_orphan_is_removed(engine: Engine, image: str, made: list[str], mortal: Mortal) -> None:
    made.append(run(engine, image, {**mortal.owner.labels(), "agentrun-test": "1"}))
    freezer = find_freezer(engine.inspect(made[0])["State"]["Pid"], made[0])
    if freezer is None:
        pytest.skip("the freezer of containers cannot be written by this user")
    freezer.write(frozen=True)
    mortal.end()
    sweep_orphans(engine)
    assert not exists(engine, made[0])


def test_networks_and_volumes_of_the_dead_are_removed(engine: Engine, mortal: Mortal) -> None:
    labels = mortal.owner.labels()
    network = engine.create_network("agentrun-test-orphan", labels, internal=True, options={})
    engine.create_volume("agentrun-test-orphan", labels, {})
    engine.create_volume("agentrun-test-foreign", {"mine": "1"}, {})
    mortal.end()
    try:
        sweep_orphans(engine)
        assert [found for found in engine.networks(BOOT) if found["Id"] == network] == []
        assert [found for found in engine.volumes(BOOT) if found["Name"] == "agentrun-test-orphan"] == []
        assert [found["Name"] for found in engine.volumes("mine=1")] == ["agentrun-test-foreign"]
    finally:
        engine.remove_volume("agentrun-test-foreign")


def test_an_owner_lives_as_long_as_its_process(mortal: Mortal) -> None:
    own = Owner.this_process()
    assert not own.dead
    assert Owner.parse(str(own)) == own
    assert replace(own, start_time=own.start_time + 1).dead
    assert replace(own, boot_id="another").dead
    assert not replace(own, pid=2**22, pid_namespace="pid:[1]").dead
    assert not mortal.owner.dead
    mortal.end()
    assert mortal.owner.dead


CRASH = """
import asyncio, sys
from pathlib import Path
from agentrun.emulator.backends.base import SandboxSpec
from agentrun.emulator.backends.docker import DockerBackend

async def main():
    backend = DockerBackend(run_directory=Path(sys.argv[1]), emulator_socket=None, emulator_port=7000, warm=1)
    await backend.start()
    running = [await backend.start_sandbox(SandboxSpec(f"crash-{number}")) for number in range(2)]
    for sandbox in running:
        await sandbox.wait_ready()
    await running[0].pause()
    print(backend.owner.nonce, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.asyncio
async def test_after_a_kill_the_next_emulator_leaves_nothing_of_it(
    engine: Engine, image: str, run_directory: Path
) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CRASH, str(run_directory), stdout=PIPE)
    assert process.stdout is not None
    nonce = (await process.stdout.readline()).decode().strip()
    assert len(engine.containers(f"{INSTANCE}={nonce}")) >= 2
    process.kill()
    await process.wait()
    backend = DockerBackend(run_directory=run_directory, emulator_socket=None, emulator_port=7000, warm=0)
    await backend.start()
    assert engine.containers(f"{INSTANCE}={nonce}") == []
    assert os.listdir(run_directory) == []
    await backend.close()
