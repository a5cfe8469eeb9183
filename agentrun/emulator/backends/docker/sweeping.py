"""Removing what emulators that were killed left in the engine, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from agentrun.emulator.backends.docker.engine import Engine, NotFound
from agentrun.emulator.backends.docker.freezer import find_freezer
from agentrun.emulator.backends.docker.ownership import BOOT, INSTANCE, owner_of


def sweep_orphans(engine: Engine) -> None:
    """Remove containers, volumes and networks whose emulator is dead; others may sweep at the same time."""
    for container in engine.containers(BOOT):
        if _orphaned(container):
            remove_container(engine, str(container["Id"]))
    _remove_the_rest([item for item in engine.volumes(BOOT) if _orphaned(item)], engine)
    _remove_the_rest([item for item in engine.networks(BOOT) if _orphaned(item)], engine)


def remove_everything_of(engine: Engine, instance: str) -> None:
    """Remove whatever one emulator still has, at its end."""
    label = f"{INSTANCE}={instance}"
    for container in engine.containers(label):
        remove_container(engine, str(container["Id"]))
    _remove_the_rest(engine.volumes(label), engine)
    _remove_the_rest(engine.networks(label), engine)


def remove_container(engine: Engine, container: str) -> None:
    """Remove a container; a frozen one is thawed first, because nothing frozen can die."""
    with contextlib.suppress(NotFound):
        freezer = find_freezer(engine.inspect(container)["State"]["Pid"], container)
        if freezer:
            freezer.write(frozen=False)
    engine.remove(container)


def _orphaned(item: Mapping[str, Any]) -> bool:
    owner = owner_of(item["Labels"])
    return owner is not None and owner.dead


def _remove_the_rest(items: list[dict[str, Any]], engine: Engine) -> None:
    for item in items:
        if "Mountpoint" in item:
            engine.remove_volume(str(item["Name"]))
        else:
            engine.remove_network(str(item["Id"]))
