"""A template: what sandboxes are made from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from agentrun._core.blocking import run
from agentrun._core.model import build, wire_name
from agentrun._core.network import NetworkConfig
from agentrun._core.paging import AsyncLazyList, LazyList, numbered
from agentrun._core.resource import Resource
from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.sandbox.control import SandboxControlAPI
from agentrun.sandbox.model import (
    PageableInput,
    TemplateContainerConfiguration,
    TemplateCredentialConfiguration,
    TemplateInput,
    TemplateLogConfiguration,
    TemplateMcpOptions,
    TemplateMcpState,
    TemplateOssConfiguration,
    TemplateType,
    TemplateUpdateInput,
)
from agentrun.status import Status

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from agentrun.sandbox.options import SandboxOptions
    from agentrun.sandbox.sandbox import Sandbox

READY_INTERVAL_SECONDS = 5.0
READY_SECONDS = 300.0


class Template(Resource):
    """A template of the platform."""

    kind = "Template"
    # What a template makes; the class itself fills this in, because it knows templates already.
    sandboxes: ClassVar[type[Sandbox]]

    template_id: str | None = None
    template_name: str | None = None
    template_version: str | None = None
    template_arn: str | None = None
    resource_name: str | None = None
    template_type: TemplateType | str | None = None
    cpu: float | None = None
    memory: int | None = None
    disk_size: int | None = None
    description: str | None = None
    execution_role_arn: str | None = None
    sandbox_idle_timeout_in_seconds: int | None = None
    sandbox_ttlin_seconds: int | None = wire_name("sandboxTTLInSeconds")
    share_concurrency_limit_per_sandbox: int | None = None
    template_configuration: dict[str, Any] | None = None
    environment_variables: dict[str, Any] | None = None
    network_configuration: NetworkConfig | None = None
    oss_configuration: list[TemplateOssConfiguration] | None = None
    log_configuration: TemplateLogConfiguration | None = None
    credential_configuration: TemplateCredentialConfiguration | None = None
    container_configuration: TemplateContainerConfiguration | None = None
    mcp_options: TemplateMcpOptions | None = None
    mcp_state: TemplateMcpState | None = None
    allow_anonymous_manage: bool | None = None
    workspace_id: str | None = None
    created_at: str | None = None
    last_updated_at: str | None = None
    status_reason: str | None = None

    @property
    def label(self) -> str:
        """The template's name."""
        return self.template_name or ""

    @classmethod
    async def create_async(
        cls, input: TemplateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Template:
        """Create a template from an input object or from its fields as keywords, and wait until it is READY.

        Raises ResourceAlreadyExistError when the name is taken, ResourceFailedError when it cannot be made, and
        WaitTimeoutError after five minutes.
        """
        wanted = build(TemplateInput, input, fields)
        made = cls.of(await SandboxControlAPI(config).create_template_async(wanted), config)
        if made.status == Status.READY:
            return made
        return await made.wait_until_ready_async(None, READY_INTERVAL_SECONDS, READY_SECONDS)

    @classmethod
    def create(cls, input: TemplateInput | None = None, config: Config | None = None, **fields: Any) -> Template:
        """Create a template from an input object or from its fields as keywords, and wait until it is READY.

        Raises ResourceAlreadyExistError when the name is taken, ResourceFailedError when it cannot be made, and
        WaitTimeoutError after five minutes.
        """
        return run(cls.create_async(input, config, **fields))

    @classmethod
    async def delete_by_name_async(cls, template_name: str, config: Config | None = None) -> Template:
        """Delete a template; returns what it was. Raises ResourceNotExistError."""
        return cls.of(await SandboxControlAPI(config).delete_template_async(template_name), config)

    @classmethod
    def delete_by_name(cls, template_name: str, config: Config | None = None) -> Template:
        """Delete a template; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_by_name_async(template_name, config))

    @classmethod
    async def update_by_name_async(
        cls,
        template_name: str,
        input: TemplateInput | TemplateUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Template:
        """Change a template; what is not given stays. Raises ResourceNotExistError."""
        given = input.to_update() if isinstance(input, TemplateInput) else input
        wanted = build(TemplateUpdateInput, given, fields)
        return cls.of(await SandboxControlAPI(config).update_template_async(template_name, wanted), config)

    @classmethod
    def update_by_name(
        cls,
        template_name: str,
        input: TemplateInput | TemplateUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Template:
        """Change a template; what is not given stays. Raises ResourceNotExistError."""
        return run(cls.update_by_name_async(template_name, input, config, **fields))

    @classmethod
    async def get_by_name_async(cls, template_name: str, config: Config | None = None) -> Template:
        """Read a template; raises ResourceNotExistError."""
        return cls.of(await SandboxControlAPI(config).get_template_async(template_name), config)

    @classmethod
    def get_by_name(cls, template_name: str, config: Config | None = None) -> Template:
        """Read a template; raises ResourceNotExistError."""
        return run(cls.get_by_name_async(template_name, config))

    @classmethod
    async def list_templates_async(
        cls, input: PageableInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[Template]:
        """One page of templates."""
        wanted = build(PageableInput, input, fields)
        page = await SandboxControlAPI(config).list_templates_async(wanted)
        return [cls.of(item, config) for item in page.get("items") or ()]

    @classmethod
    def list_templates(
        cls, input: PageableInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[Template]:
        """One page of templates."""
        return run(cls.list_templates_async(input, config, **fields))

    @classmethod
    def list_all_async(
        cls,
        *,
        template_type: TemplateType | None = None,
        workspace_id: str | None = None,
        config: Config | None = None,
    ) -> AsyncLazyList[Template]:
        """All templates that match; pages are read as they are looked at."""
        filters = PageableInput(template_type=template_type, workspace_id=workspace_id)
        return AsyncLazyList(cls._pages(filters, config))

    @classmethod
    def list_all(
        cls,
        *,
        template_type: TemplateType | None = None,
        workspace_id: str | None = None,
        config: Config | None = None,
    ) -> LazyList[Template]:
        """All templates that match; pages are read as they are looked at."""
        filters = PageableInput(template_type=template_type, workspace_id=workspace_id)
        return LazyList(cls._pages(filters, config))

    @classmethod
    def _pages(cls, filters: PageableInput, config: Config | None) -> AsyncIterator[Template]:
        async def page(number: int, size: int) -> Sequence[Template]:
            asked = filters.model_copy(update={"page_number": number, "page_size": size})
            return await cls.list_templates_async(asked, config)

        return numbered(page, lambda template: template.template_name)

    async def update_async(
        self,
        input: TemplateInput | TemplateUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Template:
        """Change this template; what is not given stays."""
        return self.update_self(await self.update_by_name_async(self.label, input, self._settings(config), **fields))

    def update(
        self,
        input: TemplateInput | TemplateUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Template:
        """Change this template; what is not given stays."""
        return run(self.update_async(input, config, **fields))

    async def get_async(self, config: Config | None = None) -> Template:
        """Read this template again."""
        return self.update_self(await self.get_by_name_async(self.label, self._settings(config)))

    def get(self, config: Config | None = None) -> Template:
        """Read this template again."""
        return run(self.get_async(config))

    async def delete_async(self, config: Config | None = None) -> Template:
        """Delete this template."""
        return self.update_self(await self.delete_by_name_async(self.label, self._settings(config)))

    def delete(self, config: Config | None = None) -> Template:
        """Delete this template."""
        return run(self.delete_async(config))

    async def activate_mcp_async(
        self, enabled_tools: Sequence[str] | None = None, transport: str | None = None, config: Config | None = None
    ) -> Template:
        """Start this template's MCP server with these tools; `transport` is `sse` or `streamable-http`."""
        tools = None if enabled_tools is None else list(enabled_tools)
        options = TemplateMcpOptions(enabled_tools=tools, transport=transport)
        api = SandboxControlAPI(self._settings(config))
        return self.update_self(self.from_wire(await api.activate_template_mcp_async(self.label, options)))

    def activate_mcp(
        self, enabled_tools: Sequence[str] | None = None, transport: str | None = None, config: Config | None = None
    ) -> Template:
        """Start this template's MCP server with these tools; `transport` is `sse` or `streamable-http`."""
        return run(self.activate_mcp_async(enabled_tools, transport, config))

    async def stop_mcp_async(self, config: Config | None = None) -> Template:
        """Stop this template's MCP server."""
        api = SandboxControlAPI(self._settings(config))
        return self.update_self(self.from_wire(await api.stop_template_mcp_async(self.label)))

    def stop_mcp(self, config: Config | None = None) -> Template:
        """Stop this template's MCP server."""
        return run(self.stop_mcp_async(config))

    async def create_sandbox_async(
        self,
        sandbox_idle_timeout_seconds: int | None = None,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> Any:
        """Create a sandbox from this template; without a time of its own it idles as long as the template says.

        The `options` (`SandboxOptions`) are an extension of the local platform; elsewhere they raise UnsupportedError.
        """
        if self.template_name is None:
            raise InvalidInputError("this template has no name yet", field="template_name")
        return await self.sandboxes.create_async(
            self.template_type,
            self.template_name,
            sandbox_idle_timeout_seconds,
            config=self._settings(config),
            **options,
        )

    def create_sandbox(
        self,
        sandbox_idle_timeout_seconds: int | None = None,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> Any:
        """Create a sandbox from this template; without a time of its own it idles as long as the template says.

        The `options` (`SandboxOptions`) are an extension of the local platform; elsewhere they raise UnsupportedError.
        """
        return run(self.create_sandbox_async(sandbox_idle_timeout_seconds, config, **options))
