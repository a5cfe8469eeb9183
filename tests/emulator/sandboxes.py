"""The lifecycle of sandboxes without processes: the real operations and store, over a backend that only pretends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentrun.emulator.auth import Tenant
from agentrun.emulator.backends.base import (
    CREDENTIALS,
    IMAGES,
    MOUNTS,
    NETWORK_POLICY,
    PAUSE,
    BackendError,
    Isolation,
    NetworkPolicy,
    Running,
    SandboxSpec,
    ServiceSpec,
)
from agentrun.emulator.clock import ManualClock
from agentrun.emulator.control import credentials, sandboxes, templates
from agentrun.emulator.control.call import Call
from agentrun.emulator.control.injections import Injections
from agentrun.emulator.control.sandboxes import Sandboxes
from agentrun.emulator.fetching import Fetcher
from agentrun.emulator.lifecycle import Lifecycle
from agentrun.emulator.mounts import Mounts
from agentrun.emulator.outbound import OutboundCredentials
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, Scope, Store
from agentrun.emulator.usage import Usage
from agentrun.emulator.vault import Vault

ALICE = Tenant("alice", Scope("1", "cn-hangzhou"))
BOB = Tenant("bob", Scope("2", "cn-hangzhou"))
BEST = Isolation("namespaces+uid+cgroup")


class PretendedSandbox:
    """A sandbox in which nothing runs; it notes what it is told, and dies when a test says so."""

    def __init__(self, spec: SandboxSpec, backend: PretendedBackend) -> None:
        self.spec = spec
        self.told: list[str] = []
        self.policies = [spec.network]
        self._backend = backend
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def socket(self) -> Path:
        return Path("/nonexistent")

    @property
    def isolation(self) -> Isolation:
        return self._backend.isolation

    @property
    def alive(self) -> bool:
        return not self._end.done()

    def logs(self, tail: int | None = None) -> list[str]:
        return []

    async def wait_ready(self) -> None:
        await self._backend.may_start.wait()
        if self._backend.failure:
            raise BackendError(self._backend.failure)

    async def wait_unhealthy(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def wait_ended(self) -> int:
        return await asyncio.shield(self._end)

    async def pause(self) -> None:
        self.told.append("pause")

    async def resume(self) -> None:
        await asyncio.sleep(0)
        self.told.append("resume")

    async def python(self) -> None:
        return None

    async def set_network(self, policy: NetworkPolicy) -> None:
        self.policies.append(policy)

    async def patch(self, target: str) -> str:
        return f"--- {target}\n"

    async def stop(self) -> None:
        await self._backend.may_stop.wait()
        self.told.append("stop")
        self.die(-9)
        self._backend.running.discard(self)

    def die(self, code: int) -> None:
        """End by itself."""
        if not self._end.done():
            self._end.set_result(code)


@dataclass
class PretendedBackend:
    """Starts such sandboxes and remembers all of them."""

    name: str = "pretended"
    isolation: Isolation = BEST
    capabilities: frozenset[str] = frozenset((PAUSE, MOUNTS, NETWORK_POLICY, IMAGES, CREDENTIALS))
    failure: str | None = None
    started: list[PretendedSandbox] = field(default_factory=list[PretendedSandbox])
    running: set[PretendedSandbox] = field(default_factory=set[PretendedSandbox])
    may_start: asyncio.Event = field(default_factory=asyncio.Event)
    may_stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_start.set()
        self.may_stop.set()

    async def start(self) -> None:
        return

    async def warm(self) -> None:
        return

    async def start_sandbox(self, spec: SandboxSpec) -> PretendedSandbox:
        sandbox = PretendedSandbox(spec, self)
        self.started.append(sandbox)
        self.running.add(sandbox)
        return sandbox

    async def start_service(self, spec: ServiceSpec) -> Running:
        raise BackendError("there are no services here")

    async def close(self) -> None:
        return


class World:
    """Sandboxes with their templates, and a clock that a test moves."""

    def __init__(
        self,
        backend: PretendedBackend | None = None,
        *,
        mounts: Mounts | None = None,
        public: NetworkPolicy | None = None,
        state: Path | None = None,
    ) -> None:
        self.clock = ManualClock(1_800_000_000.0)
        self.store = Store(state)
        self.backend = backend or PretendedBackend()
        self._lifecycle = Lifecycle(self.store, self.clock)
        stored, self.credentials = self._resources(templates.KIND), self._resources(credentials.KIND)
        outbound = OutboundCredentials(self.credentials, Fetcher(), Usage(self.store, self.clock), self.clock)
        injections = Injections(outbound, self.clock)
        self.sandboxes = Sandboxes(self._resources(sandboxes.KIND), stored, self.backend, injections, mounts, public)
        self._operations = {**self.sandboxes.routes()}

    def _resources(self, kind: Kind) -> Resources:
        return Resources(kind, self.store, self._lifecycle, Vault(), self.clock)

    def template(self, name: str = "python", tenant: Tenant = ALICE, **changes: Any) -> None:
        """A template that is READY."""
        document = {
            "templateName": name,
            "templateType": "CodeInterpreter",
            "cpu": 2.0,
            "memory": 4096,
            "networkConfiguration": {"networkMode": "PUBLIC"},
            "sandboxIdleTimeoutInSeconds": 1800,
            "sandboxTTLInSeconds": 21600,
            **changes,
        }
        self.store.insert(Record(tenant.scope, "Template", f"tpl-{name}", name, "READY", document))

    async def create(self, tenant: Tenant = ALICE, /, **body: Any) -> dict[str, Any]:
        """A sandbox of the template `python` unless another one is named."""
        return await self.sandboxes.create(Call(tenant, body={"templateName": "python", **body}))

    async def do(
        self,
        method: str,
        sandbox_id: str,
        below: str = "",
        body: Mapping[str, Any] | None = None,
        tenant: Tenant = ALICE,
        **query: str,
    ) -> dict[str, Any]:
        """An operation of the data plane on a sandbox."""
        return await self._operations[method, below](Call(tenant, (sandbox_id,), query, body or {}))

    async def list(self, tenant: Tenant = ALICE, /, **query: str) -> dict[str, Any]:
        """One page of sandboxes."""
        return await self.sandboxes.list(Call(tenant, query=query))
