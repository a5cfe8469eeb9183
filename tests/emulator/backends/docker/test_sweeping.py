from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Mapping
from dataclasses import replace

import pytest

from agentrun.emulator.backends.docker.engine import Engine
from agentrun.emulator.backends.docker.freezer import find_freezer
from agentrun.emulator.backends.docker.ownership import BOOT, Owner
from agentrun.emulator.backends.docker.sweeping import remove_everything_of, sweep_orphans

PROGRAM = "from agentrun.emulator.backends.docker.ownership import Owner; print(Owner.this_process())"


def dead_owner() -> Owner:
    """The owner that a process was which has ended."""
    label = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout.strip()
    owner = Owner.parse(label)
    assert owner is not None
    return owner


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


def test_only_what_a_dead_emulator_left_is_removed(engine: Engine, image: str, made: list[str]) -> None:
    mark = {"agentrun-test": "1"}
    dead, alive = dead_owner(), Owner.this_process()
    elsewhere = replace(dead, pid_namespace="pid:[1]")
    owners = {
        "orphan": dead.labels("x"),
        "own": alive.labels("x"),
        "elsewhere": elsewhere.labels("x"),
        "foreign": {},
        "garbled": {BOOT: "nonsense"},
    }
    containers = {name: run(engine, image, {**labels, **mark}) for name, labels in owners.items()}
    made += containers.values()
    assert sweep_orphans(engine) >= 1
    assert {name for name, container in containers.items() if exists(engine, container)} == set(owners) - {"orphan"}
    remove_everything_of(engine, alive.nonce)
    assert {name for name, container in containers.items() if exists(engine, container)} == {
        "elsewhere",
        "foreign",
        "garbled",
    }


def test_a_frozen_orphan_is_removed(engine: Engine, image: str, made: list[str]) -> None:
    made.append(run(engine, image, {**dead_owner().labels(), "agentrun-test": "1"}))
    freezer = find_freezer(engine.inspect(made[0])["State"]["Pid"], made[0])
    if freezer is None:
        pytest.skip("the freezer of containers cannot be written by this user")
    freezer.write(frozen=True)
    sweep_orphans(engine)
    assert not exists(engine, made[0])


def test_networks_and_volumes_of_the_dead_are_removed(engine: Engine) -> None:
    labels = dead_owner().labels()
    network = engine.create_network("agentrun-test-orphan", labels, internal=True, options={})
    engine.create_volume("agentrun-test-orphan", labels, {})
    engine.create_volume("agentrun-test-foreign", {"mine": "1"}, {})
    try:
        sweep_orphans(engine)
        assert [found for found in engine.networks(BOOT) if found["Id"] == network] == []
        assert [found for found in engine.volumes(BOOT) if found["Name"] == "agentrun-test-orphan"] == []
        assert [found["Name"] for found in engine.volumes("mine=1")] == ["agentrun-test-foreign"]
    finally:
        engine.remove_volume("agentrun-test-foreign")


def test_an_owner_lives_as_long_as_its_process() -> None:
    own = Owner.this_process()
    assert not own.dead
    assert Owner.parse(str(own)) == own
    assert replace(own, start_time=own.start_time + 1).dead
    assert replace(own, boot_id="another").dead
    assert not replace(own, pid=2**22, pid_namespace="pid:[1]").dead
    assert dead_owner().dead
