"""What resources run as services: one supervised process for each version of a resource that is asked for."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrun._core.values import section
from agentrun.emulator.auth import Authenticator
from agentrun.emulator.backends.base import Backend, BackendError, HealthCheck, Limits, Running, ServiceSpec
from agentrun.emulator.backends.injection.placeholders import Injection
from agentrun.emulator.backends.supervisor import State, Supervised
from agentrun.emulator.control.injections import Injections, Owner
from agentrun.emulator.packages import Packages
from agentrun.emulator.store import Record, Scope
from agentrun.emulator.usage import User, user
from agentrun.emulator.wire.envelope import ServiceError, unsupported

LATEST = "LATEST"


@dataclass(frozen=True)
class Key:
    """Which process: a resource's version in somebody's scope."""

    scope: Scope
    resource_id: str
    version: str


def health_check(configuration: Mapping[str, Any]) -> HealthCheck:
    """The health check of a runtime, in the backend's terms."""
    return HealthCheck(
        path=configuration.get("httpGetUrl"),
        initial_delay=configuration.get("initialDelaySeconds") or 0.0,
        period=configuration.get("periodSeconds") or 10.0,
        timeout=configuration.get("timeoutSeconds") or 2.0,
        failure_threshold=configuration.get("failureThreshold") or 3,
    )


class Processes(ABC):
    """Starts, finds and stops the processes of one kind of resource; `noun` is the word for it in messages."""

    noun: str
    unavailable: str

    def __init__(self, backend: Backend, injections: Injections) -> None:
        self._backend = backend
        self._injections = injections
        self._running: dict[Key, Supervised] = {}

    @abstractmethod
    def _spec(self, key: Key, record: Record) -> ServiceSpec:
        """What is to run for a resource. Raises ServiceError."""

    @abstractmethod
    def _given(self, record: Record) -> Mapping[str, str]:
        """The environment that a resource asks for, in which it may refer to credentials. Raises ServiceError."""

    def _owner(self, key: Key, record: Record) -> Owner:
        """As whom a process uses credentials."""
        return Owner(f"{self.noun} {record.name}", user(record))

    def _inside(self, key: Key, record: Record) -> tuple[Injection | None, dict[str, str]]:
        """The environment with the secrets or the placeholders that it refers to. Raises ServiceError."""
        return self._injections.inside(key.scope, self._owner(key, record), self._given(record))

    async def ready(self, key: Key, record: Record) -> Running:
        """The running process of a version, started if it does not run; `record` tells its code and settings.

        Raises ServiceError (503) with the reason when it does not come up.
        """
        found = self._running.get(key)
        if found is None or found.state is State.STOPPED:
            self._spec(key, record)  # Whatever is wrong with it is told now.
            found = self._running[key] = Supervised(lambda: self._start(key, record))
        try:
            await found.wait_ready()
        except BackendError as error:
            raise ServiceError(503, self.unavailable, f"{self.noun} {record.name}: {error}") from error
        if found.current is None:
            raise ServiceError(503, self.unavailable, f"{self.noun} {record.name} has just ended; try again")
        return found.current

    async def _start(self, key: Key, record: Record) -> Running:
        """One more process, with what its credentials are by now."""
        running = await self._backend.start_service(self._spec(key, record))
        self._injections.note_values(key.scope, self._owner(key, record), self._given(record))
        return running

    def running(self, key: Key) -> Running | None:
        """The process of a version if it answers at the moment."""
        found = self._running.get(key)
        return found.current if found and found.state is State.READY else None

    def logs(self, key: Key, tail: int | None) -> list[str]:
        """The last lines of a version's process."""
        found = self._running.get(key)
        return found.logs(tail) if found else []

    def crash(self, key: Key) -> str | None:
        """Why the process of a version is down at the moment, None when it is not."""
        found = self._running.get(key)
        return found.reason if found and found.state is State.CRASHED else None

    async def give_up(self, key: Key) -> None:
        """Stop the process of a version and do not start it again by itself; its logs stay."""
        found = self._running.get(key)
        if found is not None:
            await found.stop()

    @property
    def count(self) -> int:
        """How many run."""
        return sum(found.state is not State.STOPPED for found in self._running.values())

    async def replace(self, key: Key) -> None:
        """Stop the process of a version, so that the next request starts it with new settings."""
        found = self._running.pop(key, None)
        if found is not None:
            await found.stop()

    async def stop(self, scope: Scope, resource_id: str) -> None:
        """Stop every process of a resource."""
        keys = [key for key in self._running if key.scope == scope and key.resource_id == resource_id]
        await asyncio.gather(*(self.replace(key) for key in keys))

    async def reset(self, account: str | None) -> None:
        """Stop every process of one account, or of all."""
        keys = [key for key in self._running if account in (None, key.scope.account)]
        await asyncio.gather(*(self.replace(key) for key in keys))

    async def close(self) -> None:
        """Stop everything."""
        with contextlib.suppress(BackendError):
            await self.reset(None)


class Instances(Processes):
    """The processes of agent runtimes."""

    noun, unavailable = "agent runtime", "ERR_RUNTIME_UNAVAILABLE"

    def __init__(self, backend: Backend, packages: Packages, auth: Authenticator, injections: Injections) -> None:
        super().__init__(backend, injections)
        self._packages = packages
        self._auth = auth
        self.endpoint = ""

    def _spec(self, key: Key, record: Record) -> ServiceSpec:
        document = record.document
        code = section(document, "codeConfiguration")
        if "package" not in document:
            raise unsupported("the process backend runs code packages; container images need the docker backend")
        if not code.get("command"):
            raise ServiceError(400, "ERR_VALIDATION_FAILED", "codeConfiguration.command is required")
        injection, inside = self._inside(key, record)
        return ServiceSpec(
            service_id=f"{key.resource_id}-{key.version}",
            folder=self._packages.folder(document["package"]),
            command=tuple(code["command"]),
            port=document["port"],
            environment={**self._environment(record), **inside},
            health=health_check(section(document, "healthCheckConfiguration")),
            limits=Limits(memory=document["memory"], cpu=document["cpu"]),
            network=section(document, "networkConfiguration").get("networkMode") != "PRIVATE",
            injection=injection,
        )

    def _given(self, record: Record) -> Mapping[str, str]:
        return section(record.document, "environmentVariables")

    def _owner(self, key: Key, record: Record) -> Owner:
        # The name of a published version is its number.
        name = record.document.get("runtimeName") or record.name
        return Owner(f"{self.noun} {name}", User("runtime", key.resource_id, name))

    def _environment(self, record: Record) -> dict[str, str]:
        """What the platform gives an agent: where it is, and a temporary key of the account it belongs to."""
        owner = record.document.get("owner", "")
        key = self._auth.temporary_key(owner)
        account, region = record.scope
        return {
            "AGENTRUN_ACCESS_KEY_ID": key.access_key_id,
            "AGENTRUN_ACCESS_KEY_SECRET": key.access_key_secret,
            "AGENTRUN_SECURITY_TOKEN": key.security_token or "",
            "AGENTRUN_ACCOUNT_ID": account,
            "AGENTRUN_REGION": region,
            "AGENTRUN_CONTROL_ENDPOINT": self.endpoint,
            "AGENTRUN_DATA_ENDPOINT": self.endpoint,
            "AGENTRUN_RUNTIME_NAME": record.name,
            "PORT": str(record.document["port"]),
        }
