"""A sandbox: an isolated place to run things in, made from a template and gone when nobody needs it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from agentrun._core.blocking import run
from agentrun._core.extensions import Extension
from agentrun._core.model import Model, build, wire_name
from agentrun._core.paging import AsyncLazyList, LazyList, continued
from agentrun._core.polling import wait_until
from agentrun.config import Config
from agentrun.errors import (
    AgentRunError,
    ResourceNotExistError,
    SandboxTerminatedError,
    ServerError,
    TransportError,
    UnsupportedError,
)
from agentrun.sandbox.control import SandboxControlAPI
from agentrun.sandbox.creation import SandboxCreation
from agentrun.sandbox.credentials import CredentialUse, SandboxCredential
from agentrun.sandbox.data import SandboxDataAPI
from agentrun.sandbox.extensions import CAPABILITIES, CREDENTIAL_USE, FILTER, LIFETIME, METADATA, NETWORK, PATCH
from agentrun.sandbox.model import ListSandboxesInput, TemplateType
from agentrun.sandbox.network import NetworkPolicy
from agentrun.sandbox.options import IsolationState, SandboxHealth
from agentrun.sandbox.ports import SandboxPort
from agentrun.sandbox.template import Template
from agentrun.sandbox.template_verbs import TemplateVerbs

if TYPE_CHECKING:
    from typing_extensions import Self


log = logging.getLogger("agentrun")

ENDED = "TERMINATED"
HEALTHY_SECONDS = 60.0
HEALTH_INTERVAL_SECONDS = 1.0


class Sandbox(TemplateVerbs, SandboxCreation):
    """A sandbox of the platform; as a context manager it waits until it can be used, and is deleted at the end."""

    kind = "Sandbox"

    created_at: str | None = None
    ended_at: str | None = None
    last_updated_at: str | None = None
    metadata: dict[str, Any] | None = None
    sandbox_arn: str | None = None
    sandbox_id: str | None = None
    sandbox_idle_ttlin_seconds: int | None = wire_name("sandboxIdleTTLInSeconds")
    sandbox_idle_timeout_seconds: int | None = None
    template_id: str | None = None
    template_name: str | None = None
    # Only the local platform tells these.
    health: SandboxHealth | str | None = None
    isolation: IsolationState | None = None
    end_reason: str | None = None
    paused_at: str | None = None
    expires_at: str | None = None
    acquired: str | None = None
    credentials: Sequence[SandboxCredential] | None = None

    @property
    def label(self) -> str:
        """The sandbox's id."""
        return self.sandbox_id or ""

    @property
    def data_api(self) -> SandboxDataAPI:
        """The calls that go to this sandbox."""
        return SandboxDataAPI(sandbox_id=self.sandbox_id, config=self._settings(None))

    # Sandboxes by id

    @classmethod
    async def get_by_id_async(cls, sandbox_id: str, config: Config | None = None) -> Self:
        """Read a sandbox; raises ResourceNotExistError."""
        return cls.of(await SandboxDataAPI(config=config).get_sandbox_async(sandbox_id), config)

    @classmethod
    def get_by_id(cls, sandbox_id: str, config: Config | None = None) -> Self:
        """Read a sandbox; raises ResourceNotExistError."""
        return run(cls.get_by_id_async(sandbox_id, config))

    @classmethod
    async def stop_by_id_async(cls, sandbox_id: str, config: Config | None = None) -> Self:
        """Stop a sandbox; raises ResourceNotExistError."""
        return cls.of(await SandboxDataAPI(config=config).stop_sandbox_async(sandbox_id), config)

    @classmethod
    def stop_by_id(cls, sandbox_id: str, config: Config | None = None) -> Self:
        """Stop a sandbox; raises ResourceNotExistError."""
        return run(cls.stop_by_id_async(sandbox_id, config))

    @classmethod
    async def delete_by_id_async(cls, sandbox_id: str, config: Config | None = None) -> Self:
        """Delete a sandbox; returns what it was. Raises ResourceNotExistError."""
        return cls.of(await SandboxDataAPI(config=config).delete_sandbox_async(sandbox_id), config)

    @classmethod
    def delete_by_id(cls, sandbox_id: str, config: Config | None = None) -> Self:
        """Delete a sandbox; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_by_id_async(sandbox_id, config))

    @classmethod
    async def pause_by_id_async(cls, sandbox_id: str, config: Config | None = None) -> Self:
        """Freeze a sandbox with all that it holds in memory; raises ResourceNotExistError."""
        return cls.of(await SandboxControlAPI(config).pause_sandbox_async(sandbox_id), config)

    @classmethod
    def pause_by_id(cls, sandbox_id: str, config: Config | None = None) -> Self:
        """Freeze a sandbox with all that it holds in memory; raises ResourceNotExistError."""
        return run(cls.pause_by_id_async(sandbox_id, config))

    @classmethod
    async def resume_by_id_async(cls, sandbox_id: str, config: Config | None = None) -> Self:
        """Let a paused sandbox go on where it was; raises ResourceNotExistError."""
        return cls.of(await SandboxControlAPI(config).resume_sandbox_async(sandbox_id), config)

    @classmethod
    def resume_by_id(cls, sandbox_id: str, config: Config | None = None) -> Self:
        """Let a paused sandbox go on where it was; raises ResourceNotExistError."""
        return run(cls.resume_by_id_async(sandbox_id, config))

    @classmethod
    async def list_async(
        cls, input: ListSandboxesInput | None = None, config: Config | None = None, **fields: Any
    ) -> ListSandboxesOutput:
        """One page of sandboxes.

        To filter by `metadata` is an extension of the local platform; elsewhere it raises UnsupportedError.
        """
        wanted = build(ListSandboxesInput, input, fields)
        if wanted.metadata:
            FILTER.require(Config.with_configs(config).get_control_endpoint())
        page = await SandboxControlAPI(config).list_sandboxes_async(wanted)
        kind = cls._class_for(wanted.template_type)
        found = [kind.of(item, config) for item in page.get("items") or ()]
        return ListSandboxesOutput(sandboxes=found, next_token=page.get("nextToken"))

    @classmethod
    def list(
        cls, input: ListSandboxesInput | None = None, config: Config | None = None, **fields: Any
    ) -> ListSandboxesOutput:
        """One page of sandboxes.

        To filter by `metadata` is an extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(cls.list_async(input, config, **fields))

    @classmethod
    def list_all_async(
        cls,
        *,
        status: str | None = None,
        template_name: str | None = None,
        template_type: TemplateType | None = None,
        metadata: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> AsyncLazyList[Sandbox]:
        """All sandboxes that match; pages are read as they are looked at.

        To filter by `metadata` is an extension of the local platform; elsewhere it raises UnsupportedError.
        """
        filters = ListSandboxesInput(
            max_results=50,
            status=status,
            template_name=template_name,
            template_type=template_type,
            metadata=dict(metadata) if metadata else None,
        )
        return AsyncLazyList(cls._pages(filters, config))

    @classmethod
    def list_all(
        cls,
        *,
        status: str | None = None,
        template_name: str | None = None,
        template_type: TemplateType | None = None,
        metadata: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> LazyList[Sandbox]:
        """All sandboxes that match; pages are read as they are looked at.

        To filter by `metadata` is an extension of the local platform; elsewhere it raises UnsupportedError.
        """
        filters = ListSandboxesInput(
            max_results=50,
            status=status,
            template_name=template_name,
            template_type=template_type,
            metadata=dict(metadata) if metadata else None,
        )
        return LazyList(cls._pages(filters, config))

    @classmethod
    def _pages(cls, filters: ListSandboxesInput, config: Config | None) -> AsyncIterator[Sandbox]:
        async def page(token: str | None) -> tuple[Sequence[Sandbox], str | None]:
            found = await cls.list_async(filters.model_copy(update={"next_token": token}), config)
            return found.sandboxes, found.next_token

        return continued(page)

    # This sandbox

    async def get_async(self, config: Config | None = None) -> Self:
        """Read this sandbox again."""
        return self.update_self(await self.get_by_id_async(self.label, self._settings(config)))

    def get(self, config: Config | None = None) -> Self:
        """Read this sandbox again."""
        return run(self.get_async(config))

    async def delete_async(self, config: Config | None = None) -> Self:
        """Delete this sandbox; one that is gone already is no error."""
        try:
            self.update_self(await self.delete_by_id_async(self.label, self._settings(config)))
        except (ResourceNotExistError, SandboxTerminatedError):
            self.status = ENDED
        return self

    def delete(self, config: Config | None = None) -> Self:
        """Delete this sandbox; one that is gone already is no error."""
        return run(self.delete_async(config))

    async def close_async(self) -> None:
        """Delete this sandbox; calling it twice is allowed."""
        await self.delete_async()

    def close(self) -> None:
        """Delete this sandbox; calling it twice is allowed."""
        run(self.close_async())

    async def stop_async(self, config: Config | None = None) -> Self:
        """Stop this sandbox; one that has ended already is no error."""
        try:
            self.update_self(await self.stop_by_id_async(self.label, self._settings(config)))
        except (ResourceNotExistError, SandboxTerminatedError):
            self.status = ENDED
        return self

    def stop(self, config: Config | None = None) -> Self:
        """Stop this sandbox; one that has ended already is no error."""
        return run(self.stop_async(config))

    async def pause_async(self, config: Config | None = None) -> Self:
        """Freeze this sandbox with all that it holds in memory."""
        return self.update_self(await self.pause_by_id_async(self.label, self._settings(config)))

    def pause(self, config: Config | None = None) -> Self:
        """Freeze this sandbox with all that it holds in memory."""
        return run(self.pause_async(config))

    async def resume_async(self, config: Config | None = None) -> Self:
        """Let this sandbox go on where it was paused."""
        return self.update_self(await self.resume_by_id_async(self.label, self._settings(config)))

    def resume(self, config: Config | None = None) -> Self:
        """Let this sandbox go on where it was paused."""
        return run(self.resume_async(config))

    # What one changes of it while it lives

    async def set_timeout_async(self, seconds: float | None = None, idle_seconds: int | None = None) -> Self:
        """Let this sandbox live for so many seconds from now, or end when nobody used it for `idle_seconds`.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        body = {"seconds": seconds, "idleSeconds": idle_seconds}
        given = {name: value for name, value in body.items() if value is not None}
        return await self._change("POST", "/timeout", given, LIFETIME)

    def set_timeout(self, seconds: float | None = None, idle_seconds: int | None = None) -> Self:
        """Let this sandbox live for so many seconds from now, or end when nobody used it for `idle_seconds`.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.set_timeout_async(seconds, idle_seconds))

    async def set_network_async(self, policy: NetworkPolicy) -> Self:
        """Change at once what this sandbox may reach; connections that are open and not allowed any more are closed.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return await self._change("PUT", "/network", policy.to_wire(), NETWORK)

    def set_network(self, policy: NetworkPolicy) -> Self:
        """Change at once what this sandbox may reach; connections that are open and not allowed any more are closed.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.set_network_async(policy))

    async def set_metadata_async(self, metadata: Mapping[str, str | None]) -> Self:
        """Change some of the metadata; None removes a name, and names that are not given stay.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return await self._change("PATCH", "/metadata", {"metadata": dict(metadata)}, METADATA)

    def set_metadata(self, metadata: Mapping[str, str | None]) -> Self:
        """Change some of the metadata; None removes a name, and names that are not given stay.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.set_metadata_async(metadata))

    async def patch_async(self, target: str) -> str:
        """What was changed below a copy-on-write mount, as a unified diff that `git apply` and `patch` take.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        body = await self.data_api.open("GET", "/patch", query={"mount": target}, extension=PATCH)
        return (await body.read()).decode(errors="replace")

    def patch(self, target: str) -> str:
        """What was changed below a copy-on-write mount, as a unified diff that `git apply` and `patch` take.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.patch_async(target))

    async def credential_use_async(self) -> CredentialUse:
        """How the credentials of this sandbox were used and what was refused, also after its end; never a value.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        answer = await self.data_api.manage("GET", "/credentials", extension=CREDENTIAL_USE)
        return CredentialUse.from_wire(answer)

    def credential_use(self) -> CredentialUse:
        """How the credentials of this sandbox were used and what was refused, also after its end; never a value.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.credential_use_async())

    async def capabilities_async(self) -> frozenset[str]:
        """What this sandbox can do beyond the cloud, such as `fork`, `mounts` or `ports`; on the cloud nothing."""
        try:
            answer = await self.data_api.manage("GET", "/capabilities", extension=CAPABILITIES)
        except UnsupportedError:
            return frozenset()
        return frozenset(str(name) for name in answer.get("capabilities") or ())

    def capabilities(self) -> frozenset[str]:
        """What this sandbox can do beyond the cloud, such as `fork`, `mounts` or `ports`; on the cloud nothing."""
        return run(self.capabilities_async())

    def port(self, port: int) -> SandboxPort:
        """A server that listens on this port inside: its URL, and the headers that requests to it need.

        Extension of the local platform; elsewhere nothing answers there.
        """
        return SandboxPort(self.data_api, port)

    def url(self, port: int, path: str = "") -> str:
        """The URL of a server inside; requests to it are signed, see `port`.

        Extension of the local platform; elsewhere nothing answers there.
        """
        return self.port(port).url(path)

    async def _change(self, method: str, path: str, body: dict[str, Any], extension: Extension) -> Self:
        answer = await self.data_api.manage(method, path, body=body, extension=extension)
        return self.update_self(self.from_wire(answer)) if answer.get("sandboxId") else await self.get_async()

    # Whether it can be used

    async def check_health_async(self) -> dict[str, Any]:
        """How the sandbox is: `{"status": "ok", ...}` when it can be used."""
        return await self.data_api.check_health_async()

    def check_health(self) -> dict[str, Any]:
        """How the sandbox is: `{"status": "ok", ...}` when it can be used."""
        return run(self.check_health_async())

    async def wait_until_healthy_async(self, timeout_seconds: float = HEALTHY_SECONDS) -> Self:
        """Return once the sandbox can be used; raises WaitTimeoutError after `timeout_seconds`."""
        await wait_until(
            self._is_healthy,
            bool,
            what=f"starting {self.kind} {self.label!r}",
            interval=HEALTH_INTERVAL_SECONDS,
            timeout=timeout_seconds,
        )
        return self

    def wait_until_healthy(self, timeout_seconds: float = HEALTHY_SECONDS) -> Self:
        """Return once the sandbox can be used; raises WaitTimeoutError after `timeout_seconds`."""
        return run(self.wait_until_healthy_async(timeout_seconds))

    async def _is_healthy(self) -> bool:
        try:
            return (await self.check_health_async()).get("status") == "ok"
        except UnsupportedError:
            raise
        except (ServerError, TransportError) as error:
            # A sandbox that is starting does not answer yet.
            log.debug("%s %s is not healthy: %s", self.kind, self.label, error)
            return False

    async def _remove(self, error: BaseException | None) -> None:
        """Delete what is left; a problem with that never hides `error`."""
        try:
            await self.delete_async()
        except AgentRunError as problem:
            if error is None:
                raise
            log.warning("%s %s could not be deleted: %s", self.kind, self.label, problem)

    async def __aenter__(self) -> Self:
        try:
            return await self.wait_until_healthy_async()
        except BaseException as error:
            await self._remove(error)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._remove(error)

    def __enter__(self) -> Self:
        return run(self.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run(self.__aexit__(kind, error, trace))


class ListSandboxesOutput(Model):
    """One page of sandboxes; `next_token` asks for the next page, None on the last one."""

    sandboxes: Sequence[Sandbox]
    next_token: str | None = None


Template.sandboxes = Sandbox
