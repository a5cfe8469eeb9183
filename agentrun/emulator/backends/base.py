"""What a backend is: a way to run real code behind the emulator.

The emulator knows two things that run: a **sandbox**, which holds the guest server of
`agentrun.emulator.guest`, and a **service**, which is an agent runtime's own program. Both end up as an HTTP
server on a unix socket, so the data plane proxies to either in the same way and never learns how it was started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from agentrun.emulator.backends.injection.placeholders import Injection
    from agentrun.emulator.guest.interpreter import Worker


@dataclass(frozen=True)
class Limits:
    """What one running thing may use; memory, file size and disk in MiB, cpu in cores."""

    memory: int = 4096
    cpu: float = 2.0
    processes: int = 256
    open_files: int = 1024
    file_size: int = 1024
    disk: int = 1024


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
class NetworkRule:
    """One destination that a sandbox may reach: a domain (`*.` for those below it) or a CIDR block.

    `ports` limits it when not empty. With `methods` or `paths` (`*` matches anything) only plain HTTP requests that
    match are let through, because nobody can look into TLS.
    """

    domain: str | None = None
    cidr: str | None = None
    ports: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkPolicy:
    """What a sandbox may reach: nothing ("off"), every public address ("on"), or what `allow` lists ("allow-list")."""

    mode: str = "on"
    allow: tuple[NetworkRule, ...] = ()


@dataclass(frozen=True)
class Mount:
    """A folder of the host inside a sandbox; copy-on-write keeps what is written in the sandbox."""

    source: Path
    target: str
    copy_on_write: bool = False


@dataclass(frozen=True)
class Image:
    """A container image of the user's own: what to run in it and at which port that listens."""

    name: str
    command: Sequence[str] = ()
    port: int = 5000


@dataclass(frozen=True)
class SandboxSpec:
    """A sandbox to start.

    `image` is for templates of type CustomImage. `injection` holds the placeholders of secrets, which `environment`
    does not have. `lowest_level` is the weakest isolation level that is acceptable, a
    name out of `LEVELS`; None accepts whatever the backend gives.
    """

    sandbox_id: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Limits = Limits()
    network: NetworkPolicy = NetworkPolicy()
    mounts: tuple[Mount, ...] = ()
    image: Image | None = None
    lowest_level: str | None = None
    injection: Injection | None = None


@dataclass(frozen=True)
class ServiceSpec:
    """A program to start: the folder that holds its code, its command, and the port it will listen on.

    Without a port it serves the unix socket that it inherits as descriptor 3. The placeholders of `injection` are in
    its `environment` already.
    """

    service_id: str
    folder: Path
    command: Sequence[str]
    port: int | None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    health: HealthCheck = HealthCheck()
    limits: Limits = Limits()
    network: bool = True
    injection: Injection | None = None


# Isolation levels, the weakest first. "container" is what an ordinary container gives.
LEVELS = ("none", "landlock", "namespaces", "container", "namespaces+uid", "namespaces+uid+cgroup", "gvisor")

# What a backend can do beyond running code; it names them in `capabilities`.
PAUSE, PORTS, FORK, MOUNTS, NETWORK_POLICY, IMAGES, WARM, CREDENTIALS = (
    "pause",
    "ports",
    "fork",
    "mounts",
    "network-policy",
    "images",
    "warm",
    "credentials",
)


class BackendError(Exception):
    """Something could not be started or died; the text is the reason that users read."""


class NotCapable(BackendError):
    """This backend, or this machine, lacks a capability that was asked for."""


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


@runtime_checkable
class RunningSandbox(Running, Protocol):
    """A sandbox that was started."""

    async def python(self) -> Worker | None:
        """A fresh Python interpreter of it that the emulator speaks to itself; None when only its agent has any."""
        ...

    async def set_network(self, policy: NetworkPolicy) -> None:
        """Change what it may reach while it runs; NotCapable when this backend cannot."""
        ...

    async def patch(self, target: str) -> str:
        """The changes to a copy-on-write mount as a unified diff; NotCapable, or BackendError when it is no mount."""
        ...


class Backend(Protocol):
    """One way to run sandboxes and services."""

    name: str

    @property
    def isolation(self) -> Isolation:
        """The separation that everything it starts gets; known once it has started."""
        ...

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do beyond running code; known once it has started."""
        ...

    async def start(self) -> None:
        """Probe the machine; raise BackendError with the fix when it cannot isolate."""
        ...

    async def warm(self) -> None:
        """Begin to load what sandboxes need, ahead of the first one; returns at once, and failures show later."""
        ...

    async def start_sandbox(self, spec: SandboxSpec) -> RunningSandbox:
        """Start a sandbox; it may still be coming up when this returns."""
        ...

    async def start_service(self, spec: ServiceSpec) -> Running:
        """Start a service; it may still be coming up when this returns."""
        ...

    async def close(self) -> None:
        """End everything this backend started."""
        ...
