"""What a backend is: a way to run real code behind the emulator.

The emulator knows two things that run: a **sandbox**, which holds the guest server of
`agentrun.emulator.guest`, and a **service**, which is an agent runtime's own program. Both end up as an HTTP
server on a unix socket, so the data plane proxies to either in the same way and never learns how it was started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Limits:
    """What one running thing may use; memory and file size in MiB, cpu in cores."""

    memory: int = 4096
    cpu: float = 2.0
    processes: int = 256
    open_files: int = 1024
    file_size: int = 1024


@dataclass(frozen=True)
class HealthCheck:
    """How to learn that a service is ready and stays well; times in seconds.

    Until it is ready `path` is asked every `poll`, for `start_timeout` at most; from then on every `period`, and
    `failure_threshold` failures in a row mean that it is not well any more.
    """

    path: str | None = None
    initial_delay: float = 0.0
    poll: float = 0.1
    period: float = 10.0
    timeout: float = 2.0
    failure_threshold: int = 3
    start_timeout: float = 30.0


@dataclass(frozen=True)
class Isolation:
    """What separates a running thing from the host: the level reached and what it lacks of the best one."""

    level: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class SandboxSpec:
    """A sandbox to start: its id, environment, limits and whether it may reach the network."""

    sandbox_id: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Limits = Limits()
    network: bool = True


@dataclass(frozen=True)
class ServiceSpec:
    """A program to start: the folder that holds its code, its command, and the port it will listen on."""

    service_id: str
    folder: Path
    command: Sequence[str]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    health: HealthCheck = HealthCheck()
    limits: Limits = Limits()
    network: bool = True


class BackendError(Exception):
    """Something could not be started or died; the text is the reason that users read."""


@runtime_checkable
class Running(Protocol):
    """A sandbox or a service that was started."""

    @property
    def socket(self) -> Path:
        """The unix socket on which its HTTP server answers."""
        ...

    @property
    def isolation(self) -> Isolation:
        """The separation it really got."""
        ...

    @property
    def alive(self) -> bool:
        """Whether its processes run."""
        ...

    def logs(self, tail: int | None = None) -> list[str]:
        """The last lines it wrote to stdout and stderr, oldest first, all that are kept when `tail` is None."""
        ...

    async def wait_ready(self) -> None:
        """Return once it answers; raise BackendError with the reason when it cannot."""
        ...

    async def wait_unhealthy(self) -> str:
        """Return the reason once it fails its health check too often; never when it has none."""
        ...

    async def wait_ended(self) -> int:
        """Return its exit code once it has ended."""
        ...

    async def pause(self) -> None:
        """Freeze every process of it."""
        ...

    async def resume(self) -> None:
        """Let every process of it go on."""
        ...

    async def stop(self) -> None:
        """End every process of it and remove its folders; calling it twice is allowed."""
        ...


class Backend(Protocol):
    """One way to run sandboxes and services."""

    name: str

    @property
    def isolation(self) -> Isolation:
        """The separation that everything it starts gets; known once it has started."""
        ...

    async def start(self) -> None:
        """Probe the machine; raise BackendError with the fix when it cannot isolate."""
        ...

    async def start_sandbox(self, spec: SandboxSpec) -> Running:
        """Start a sandbox; it may still be coming up when this returns."""
        ...

    async def start_service(self, spec: ServiceSpec) -> Running:
        """Start a service; it may still be coming up when this returns."""
        ...

    async def close(self) -> None:
        """End everything this backend started."""
        ...
