"""What a sandbox of the local platform can be given beyond what the cloud knows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from pydantic import field_validator

from agentrun._core.model import Model
from agentrun.errors import InvalidInputError
from agentrun.sandbox.credentials import SandboxCredential
from agentrun.sandbox.network import NetworkPolicy

# In /proc/<pid>/stat, counted behind the name of the program, which may hold anything.
_START_TIME = 19


class SandboxHealth(str, Enum):
    """Whether a sandbox takes calls, is frozen, or is over."""

    READY = "ready"
    PAUSED = "paused"
    DEAD = "dead"


class IsolationState(Model):
    """What separates a sandbox from the machine: the level reached, and what it lacks of the best one."""

    level: str | None = None
    missing: list[str] | None = None


class Mount(Model):
    """A folder of this machine inside a sandbox; with `copy-on-write` what is written stays in the sandbox."""

    source: str
    target: str
    mode: Literal["read-only", "copy-on-write"] = "read-only"

    @field_validator("source", mode="before")
    @classmethod
    def _make_absolute(cls, source: Any) -> Any:
        try:
            return str(Path(source).expanduser().absolute())
        except TypeError as error:
            raise ValueError("the source is the path of a folder") from error


class Owner(Model):
    """A process of this machine that a sandbox does not outlive; `start_time` tells it from a later one of its id."""

    pid: int
    start_time: int

    @classmethod
    def this_process(cls) -> Owner:
        """The process that asks; raises InvalidInputError where the system does not tell when it started."""
        try:
            fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
            return cls(pid=os.getpid(), start_time=int(fields[_START_TIME]))
        except (OSError, ValueError, IndexError) as error:
            raise InvalidInputError("leased sandboxes need Linux and its /proc", field="leased") from error


class SandboxOptions(TypedDict, total=False):
    """Keywords of `Sandbox.create` and `Sandbox.acquire` for the local platform; the cloud has none of them.

    `metadata` is text by name, to find sandboxes again. With the same `client_token` and arguments a second call gives
    the same sandbox. After `timeout_seconds` the sandbox ends, used or not. `auto_resume` (true) wakes a paused
    sandbox when it is called. Below `isolation_level` the creation fails. A `leased` sandbox ends with this process.
    `credentials` are names, or `SandboxCredential`: code sees placeholders of them, and uses them all the same.
    """

    metadata: Mapping[str, str]
    client_token: str
    timeout_seconds: float
    network: NetworkPolicy
    mounts: Sequence[Mount]
    auto_resume: bool
    isolation_level: str
    leased: bool
    credentials: Sequence[SandboxCredential | str]


class SandboxExtras(Model):
    """The same options as they travel."""

    metadata: dict[str, str] | None = None
    client_token: str | None = None
    timeout_seconds: float | None = None
    network: NetworkPolicy | None = None
    mounts: list[Mount] | None = None
    auto_resume: bool | None = None
    isolation_level: str | None = None
    leased: bool | None = None
    credentials: list[SandboxCredential] | None = None

    @field_validator("credentials", mode="before")
    @classmethod
    def _read_names(cls, given: Any) -> Any:
        if not isinstance(given, (list, tuple)):
            return given
        return [SandboxCredential.of(one) if isinstance(one, str) else one for one in cast("Sequence[Any]", given)]

    def to_wire(self) -> dict[str, Any]:
        """What travels; a lease names this process."""
        fields = super().to_wire()
        if fields.pop("leased", None):
            fields["owner"] = Owner.this_process().to_wire()
        return fields
