"""A sandbox: an isolated place to run things in, made from a template and gone when nobody needs it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from agentrun._core.blocking import run
from agentrun._core.model import Model, build, wire_name
from agentrun._core.network import OSSMountConfig
from agentrun._core.paging import AsyncLazyList, LazyList, continued
from agentrun._core.polling import wait_until
from agentrun._core.resource import Resource
from agentrun.config import Config
from agentrun.errors import (
    AgentRunError,
    InvalidInputError,
    ResourceNotExistError,
    ServerError,
    TransportError,
    UnsupportedError,
)
from agentrun.sandbox.control import SandboxControlAPI
from agentrun.sandbox.data import SandboxDataAPI
from agentrun.sandbox.model import (
    ListSandboxesInput,
    NASConfig,
    PageableInput,
    PolarFsConfig,
    SandboxInput,
    TemplateInput,
    TemplateType,
    TemplateUpdateInput,
)
from agentrun.sandbox.template import Template

if TYPE_CHECKING:
    from typing_extensions import Self

    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox

log = logging.getLogger("agentrun")

HEALTHY_SECONDS = 60.0
HEALTH_INTERVAL_SECONDS = 1.0


class Sandbox(Resource):
    """A sandbox of the platform; as a context manager it waits until it can be used, and is deleted at the end."""

    kind = "Sandbox"
    # Which templates make this class; the classes register themselves.
    type_of_template: ClassVar[TemplateType | None] = None
    _classes: ClassVar[dict[str, type[Sandbox]]] = {}

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

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if cls.type_of_template is not None:
            Sandbox._classes[cls.type_of_template.value] = cls

    @classmethod
    def _class_for(cls, template_type: TemplateType | str | None) -> type[Sandbox]:
        name = template_type.value if isinstance(template_type, TemplateType) else template_type
        return Sandbox._classes.get(name or "", Sandbox)

    @property
    def label(self) -> str:
        """The sandbox's id."""
        return self.sandbox_id or ""

    @property
    def data_api(self) -> SandboxDataAPI:
        """The calls that go to this sandbox."""
        return SandboxDataAPI(sandbox_id=self.sandbox_id, config=self._settings(None))

    # Sandboxes by id

    @overload
    @classmethod
    async def create_async(
        cls,
        template_type: Literal[TemplateType.CODE_INTERPRETER, "CodeInterpreter"],
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
    ) -> CodeInterpreterSandbox: ...

    @overload
    @classmethod
    async def create_async(
        cls,
        template_type: TemplateType | str | None = None,
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
    ) -> Any: ...

    @classmethod
    async def create_async(
        cls,
        template_type: TemplateType | str | None = None,
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
    ) -> Any:
        """Create a sandbox from a template; the class returned fits the template's type.

        Without `template_type` the template is read first. A sandbox that nobody uses for
        `sandbox_idle_timeout_seconds` ends by itself. Raises ResourceNotExistError when there is no such template.
        """
        if not template_name:
            raise InvalidInputError("a sandbox is made from a template", field="template_name")
        wanted = SandboxInput(
            template_name=template_name,
            sandbox_idle_timeout_seconds=sandbox_idle_timeout_seconds,
            sandbox_id=sandbox_id,
            nas_config=nas_config,
            oss_mount_config=oss_mount_config,
            polar_fs_config=polar_fs_config,
        )
        known = template_type or cls.type_of_template
        kind = known or (await Template.get_by_name_async(template_name, config)).template_type
        return cls._class_for(kind).of(await _create(wanted, config), config)

    @overload
    @classmethod
    def create(
        cls,
        template_type: Literal[TemplateType.CODE_INTERPRETER, "CodeInterpreter"],
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
    ) -> CodeInterpreterSandbox: ...

    @overload
    @classmethod
    def create(
        cls,
        template_type: TemplateType | str | None = None,
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
    ) -> Any: ...

    @classmethod
    def create(
        cls,
        template_type: TemplateType | str | None = None,
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
    ) -> Any:
        """Create a sandbox from a template; the class returned fits the template's type.

        Without `template_type` the template is read first. A sandbox that nobody uses for
        `sandbox_idle_timeout_seconds` ends by itself. Raises ResourceNotExistError when there is no such template.
        """
        return run(
            cls.create_async(
                template_type,
                template_name,
                sandbox_idle_timeout_seconds,
                sandbox_id,
                nas_config,
                oss_mount_config,
                polar_fs_config,
                config,
            )
        )

    @overload
    @classmethod
    async def connect_async(
        cls,
        sandbox_id: str,
        template_type: Literal[TemplateType.CODE_INTERPRETER, "CodeInterpreter"],
        config: Config | None = None,
    ) -> CodeInterpreterSandbox: ...

    @overload
    @classmethod
    async def connect_async(
        cls,
        sandbox_id: str,
        template_type: TemplateType | str | None = None,
        config: Config | None = None,
    ) -> Any: ...

    @classmethod
    async def connect_async(
        cls, sandbox_id: str, template_type: TemplateType | str | None = None, config: Config | None = None
    ) -> Any:
        """A sandbox that exists already; the class returned fits its template's type, which is read if not given.

        Raises ResourceNotExistError, and InvalidInputError when the service knows another type.
        """
        data = await SandboxDataAPI(config=config).get_sandbox_async(sandbox_id)
        known = template_type or cls.type_of_template
        stored = data.get("templateType")
        if known and stored and TemplateType(known) != stored:
            raise InvalidInputError(
                f"sandbox {sandbox_id!r} is of type {stored}, not {TemplateType(known).value}", field="template_type"
            )
        kind = known or stored or await _type_of(data.get("templateName"), config)
        return cls._class_for(kind).of(data, config)

    @overload
    @classmethod
    def connect(
        cls,
        sandbox_id: str,
        template_type: Literal[TemplateType.CODE_INTERPRETER, "CodeInterpreter"],
        config: Config | None = None,
    ) -> CodeInterpreterSandbox: ...

    @overload
    @classmethod
    def connect(
        cls,
        sandbox_id: str,
        template_type: TemplateType | str | None = None,
        config: Config | None = None,
    ) -> Any: ...

    @classmethod
    def connect(
        cls, sandbox_id: str, template_type: TemplateType | str | None = None, config: Config | None = None
    ) -> Any:
        """A sandbox that exists already; the class returned fits its template's type, which is read if not given.

        Raises ResourceNotExistError, and InvalidInputError when the service knows another type.
        """
        return run(cls.connect_async(sandbox_id, template_type, config))

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
        """One page of sandboxes."""
        wanted = build(ListSandboxesInput, input, fields)
        page = await SandboxControlAPI(config).list_sandboxes_async(wanted)
        kind = cls._class_for(wanted.template_type)
        found = [kind.of(item, config) for item in page.get("items") or ()]
        return ListSandboxesOutput(sandboxes=found, next_token=page.get("nextToken"))

    @classmethod
    def list(
        cls, input: ListSandboxesInput | None = None, config: Config | None = None, **fields: Any
    ) -> ListSandboxesOutput:
        """One page of sandboxes."""
        return run(cls.list_async(input, config, **fields))

    @classmethod
    def list_all_async(
        cls,
        *,
        status: str | None = None,
        template_name: str | None = None,
        template_type: TemplateType | None = None,
        config: Config | None = None,
    ) -> AsyncLazyList[Sandbox]:
        """All sandboxes that match; pages are read as they are looked at."""
        filters = ListSandboxesInput(
            max_results=50, status=status, template_name=template_name, template_type=template_type
        )
        return AsyncLazyList(cls._pages(filters, config))

    @classmethod
    def list_all(
        cls,
        *,
        status: str | None = None,
        template_name: str | None = None,
        template_type: TemplateType | None = None,
        config: Config | None = None,
    ) -> LazyList[Sandbox]:
        """All sandboxes that match; pages are read as they are looked at."""
        filters = ListSandboxesInput(
            max_results=50, status=status, template_name=template_name, template_type=template_type
        )
        return LazyList(cls._pages(filters, config))

    @classmethod
    def _pages(cls, filters: ListSandboxesInput, config: Config | None) -> AsyncIterator[Sandbox]:
        async def page(token: str | None) -> tuple[Sequence[Sandbox], str | None]:
            found = await cls.list_async(filters.model_copy(update={"next_token": token}), config)
            return found.sandboxes, found.next_token

        return continued(page)

    # Templates

    @classmethod
    async def create_template_async(
        cls, input: TemplateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Template:
        """Create a template and wait until it is READY."""
        return await Template.create_async(input, config, **fields)

    @classmethod
    def create_template(
        cls, input: TemplateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Template:
        """Create a template and wait until it is READY."""
        return run(cls.create_template_async(input, config, **fields))

    @classmethod
    async def get_template_async(cls, template_name: str, config: Config | None = None) -> Template:
        """Read a template."""
        return await Template.get_by_name_async(template_name, config)

    @classmethod
    def get_template(cls, template_name: str, config: Config | None = None) -> Template:
        """Read a template."""
        return run(cls.get_template_async(template_name, config))

    @classmethod
    async def update_template_async(
        cls,
        template_name: str,
        input: TemplateInput | TemplateUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Template:
        """Change a template; what is not given stays."""
        return await Template.update_by_name_async(template_name, input, config, **fields)

    @classmethod
    def update_template(
        cls,
        template_name: str,
        input: TemplateInput | TemplateUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Template:
        """Change a template; what is not given stays."""
        return run(cls.update_template_async(template_name, input, config, **fields))

    @classmethod
    async def delete_template_async(cls, template_name: str, config: Config | None = None) -> Template:
        """Delete a template; returns what it was."""
        return await Template.delete_by_name_async(template_name, config)

    @classmethod
    def delete_template(cls, template_name: str, config: Config | None = None) -> Template:
        """Delete a template; returns what it was."""
        return run(cls.delete_template_async(template_name, config))

    @classmethod
    async def list_templates_async(
        cls, input: PageableInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[Template]:
        """One page of templates."""
        return await Template.list_templates_async(input, config, **fields)

    @classmethod
    def list_templates(
        cls, input: PageableInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[Template]:
        """One page of templates."""
        return run(cls.list_templates_async(input, config, **fields))

    # This sandbox

    async def get_async(self, config: Config | None = None) -> Self:
        """Read this sandbox again."""
        return self.update_self(await self.get_by_id_async(self.label, self._settings(config)))

    def get(self, config: Config | None = None) -> Self:
        """Read this sandbox again."""
        return run(self.get_async(config))

    async def delete_async(self, config: Config | None = None) -> Self:
        """Delete this sandbox."""
        return self.update_self(await self.delete_by_id_async(self.label, self._settings(config)))

    def delete(self, config: Config | None = None) -> Self:
        """Delete this sandbox."""
        return run(self.delete_async(config))

    async def stop_async(self, config: Config | None = None) -> Self:
        """Stop this sandbox."""
        return self.update_self(await self.stop_by_id_async(self.label, self._settings(config)))

    def stop(self, config: Config | None = None) -> Self:
        """Stop this sandbox."""
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
        except ResourceNotExistError:
            return
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


async def _create(wanted: SandboxInput, config: Config | None) -> dict[str, Any]:
    fields = wanted.to_wire()
    return await SandboxDataAPI(config=config).create_sandbox_async(
        wanted.template_name,
        wanted.sandbox_idle_timeout_seconds,
        wanted.sandbox_id,
        fields.get("nasConfig"),
        fields.get("ossMountConfig"),
        fields.get("polarFsConfig"),
    )


async def _type_of(template_name: str | None, config: Config | None) -> TemplateType | str | None:
    if not template_name:
        return None
    return (await Template.get_by_name_async(template_name, config)).template_type
