"""Who made a container, written on it as labels, so that what dead emulators left can be told from all else."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

INSTANCE, BOOT, SANDBOX = "agentrun.instance", "agentrun.boot", "agentrun.sandbox"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
START_TIME_FIELD = 19


@dataclass(frozen=True)
class Owner:
    """A process: its id, when it started (clock ticks since boot), and the boot and pid namespace these hold in."""

    boot_id: str
    pid_namespace: str
    pid: int
    start_time: int
    nonce: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def this_process(cls) -> Owner:
        """The emulator that asks."""
        pid = os.getpid()
        return cls(BOOT_ID.read_text().strip(), _pid_namespace(), pid, _start_time(pid) or 0)

    @classmethod
    def parse(cls, label: str) -> Owner | None:
        """The owner out of its label; None when it was not written by us."""
        try:
            boot_id, namespace, pid, start_time, nonce = label.split("/")
            return cls(boot_id, namespace, int(pid), int(start_time), nonce)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.boot_id}/{self.pid_namespace}/{self.pid}/{self.start_time}/{self.nonce}"

    @property
    def dead(self) -> bool:
        """Whether it certainly does not run any more; a process of another pid namespace is never called dead."""
        if self.boot_id != BOOT_ID.read_text().strip():
            return True
        return self.pid_namespace == _pid_namespace() and _start_time(self.pid) != self.start_time

    def labels(self, sandbox_id: str = "") -> dict[str, str]:
        """What is written on everything that this owner makes."""
        return {INSTANCE: self.nonce, BOOT: str(self), SANDBOX: sandbox_id}


def owner_of(labels: Mapping[str, str] | None) -> Owner | None:
    """Who made something with these labels; None when it was not us."""
    return Owner.parse((labels or {}).get(BOOT, ""))


def _pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")


def _start_time(pid: int) -> int | None:
    try:
        stat = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return None
    return int(stat[stat.rindex(")") + 2 :].split()[START_TIME_FIELD])
