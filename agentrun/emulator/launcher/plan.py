"""What a sandbox is, as its processes need to know it; it travels from the emulator to the launcher and the zygote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NAMESPACES, LANDLOCK, NONE = "namespaces", "landlock", "none"
# Where a sandbox keeps what it writes to folders that are not its own.
UPPER = "/run/agentrun/upper"


@dataclass(frozen=True)
class Plan:
    """One sandbox.

    `walls` says what its processes put up: NAMESPACES with everything else, LANDLOCK where the kernel forbids
    namespaces, NONE when that was asked for. `user` is its user id on the host, None when it has to be the launcher's
    own. `home` and `temporary` are its writable folders, of `disk` MiB each. `readable` is what else it may look at;
    where a private root is there, that is all of it, and `readable` names what must stay visible below `temporary`.
    `identity` is a folder with the `passwd` and `group` that name its user. `limits` are RLIMIT names and numbers.
    `forwards` are pairs of a port of its loopback and what the emulator serves there, `overlays` pairs of a read-only
    folder and where it becomes writable: what is written there goes to the sandbox's own memory.
    """

    walls: str
    home: str
    temporary: str
    user: int | None = None
    readable: tuple[str, ...] = ()
    identity: str | None = None
    disk: int = 1024
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    forwards: tuple[tuple[int, str], ...] = ()
    overlays: tuple[tuple[str, str], ...] = ()

    @property
    def nested(self) -> bool:
        """Whether a user namespace of its own has to do what a user id of its own cannot."""
        return self.walls == NAMESPACES and self.user is None

    def packed(self) -> dict[str, Any]:
        """As values of JSON."""
        return vars(self)

    @classmethod
    def unpacked(cls, values: Mapping[str, Any]) -> Plan:
        """From what `packed` gave, after a way through JSON."""
        whole: dict[str, Any] = dict(values)
        for name in ("forwards", "overlays"):
            whole[name] = tuple(tuple(pair) for pair in values[name])
        whole["readable"] = tuple(values["readable"])
        return cls(**whole)
