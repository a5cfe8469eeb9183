"""What a container engine has for an emulator: the sandboxes that were handed out, and those that wait for somebody."""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import psutil

from agentrun.emulator.backends.docker.engine import Engine, connect
from agentrun.emulator.backends.docker.ownership import BOOT, owner_of

PATIENCE = 5.0
POLL = 0.02
# A sandbox that waits is called as its folder is; it gets the name of whoever it is handed out to.
WAITING = re.compile(r"-(\d+-c[0-9a-f]+)$")


@dataclass(frozen=True)
class Contained:
    """Containers and volumes of one emulator, and the folders of the containers that wait."""

    containers: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()


def of(pid: int) -> Contained:
    """All that the engine has for the emulator whose process this is."""
    found = [container for container in _engine().containers(BOOT) if _is_of(container, pid)]
    waiting = {match[1] for container in found if (match := WAITING.search(container["Names"][0]))}
    handed_out = {container["Names"][0] for container in found if not WAITING.search(container["Names"][0])}
    mounted = {mount["Name"] for container in found for mount in container["Mounts"] if "Name" in mount}
    volumes = {volume["Name"] for volume in _engine().volumes(BOOT) if _is_of(volume, pid)}
    return Contained(frozenset(handed_out), frozenset(volumes - mounted), frozenset(waiting))


def wait_for(pid: int, sandbox_id: str) -> None:
    """Return once the container of a sandbox has its name, which it gets a moment after it was handed out."""
    deadline = time.monotonic() + PATIENCE
    while not any(name.endswith(sandbox_id) for name in of(pid).containers):
        assert time.monotonic() < deadline, f"no container is called after sandbox {sandbox_id}"
        time.sleep(POLL)


def processes(pid: int) -> list[psutil.Process]:
    """All that run in the containers of an emulator."""
    firsts = [
        _engine().inspect(found["Id"])["State"]["Pid"] for found in _engine().containers(BOOT) if _is_of(found, pid)
    ]
    namespaces = {os.readlink(f"/proc/{first}/ns/pid") for first in firsts}
    return [process for process in psutil.process_iter() if _namespace(process.pid) in namespaces]


def _namespace(pid: int) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")
    return ""


@cache
def _engine() -> Engine:
    return connect()


def _is_of(item: dict[str, Any], pid: int) -> bool:
    owner = owner_of(item["Labels"])
    return owner is not None and owner.pid == pid
