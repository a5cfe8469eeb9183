"""Sandboxes and templates for those who do not want to hold the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentrun._core.api import API
from agentrun._core.blocking import run
from agentrun._core.network import OSSMountConfig
from agentrun.config import Config
from agentrun.sandbox.model import (
    ListSandboxesInput,
    NASConfig,
    PageableInput,
    PolarFsConfig,
    TemplateInput,
    TemplateUpdateInput,
)
from agentrun.sandbox.sandbox import ListSandboxesOutput, Sandbox
from agentrun.sandbox.template import Template

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from agentrun.sandbox.options import SandboxOptions


class SandboxClient(API):
    """The operations on sandboxes and templates, with a Config given once."""

    async def create_template_async(
        self, input: TemplateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Template:
        """Create a template and wait until it is READY; raises ResourceAlreadyExistError when the name is taken."""
        return await Template.create_async(input, self._config(config), **fields)

    def create_template(
        self, input: TemplateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Template:
        """Create a template and wait until it is READY; raises ResourceAlreadyExistError when the name is taken."""
        return run(self.create_template_async(input, config, **fields))

    async def delete_template_async(self, template_name: str, config: Config | None = None) -> Template:
        """Delete a template; returns what it was."""
        return await Template.delete_by_name_async(template_name, self._config(config))

    def delete_template(self, template_name: str, config: Config | None = None) -> Template:
        """Delete a template; returns what it was."""
        return run(self.delete_template_async(template_name, config))

    async def update_template_async(
        self,
        template_name: str,
        input: TemplateInput | TemplateUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Template:
        """Change a template; what is not given stays."""
        return await Template.update_by_name_async(template_name, input, self._config(config), **fields)

    def update_template(
        self,
        template_name: str,
        input: TemplateInput | TemplateUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Template:
        """Change a template; what is not given stays."""
        return run(self.update_template_async(template_name, input, config, **fields))

    async def get_template_async(self, template_name: str, config: Config | None = None) -> Template:
        """Read a template."""
        return await Template.get_by_name_async(template_name, self._config(config))

    def get_template(self, template_name: str, config: Config | None = None) -> Template:
        """Read a template."""
        return run(self.get_template_async(template_name, config))

    async def list_templates_async(
        self, input: PageableInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[Template]:
        """One page of templates."""
        return await Template.list_templates_async(input, self._config(config), **fields)

    def list_templates(
        self, input: PageableInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[Template]:
        """One page of templates."""
        return run(self.list_templates_async(input, config, **fields))

    async def create_sandbox_async(
        self,
        template_name: str,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> Any:
        """Create a sandbox from a template, which is read first; the class returned fits the template's type.

        The `options` (`SandboxOptions`) are an extension of the local platform; elsewhere they raise UnsupportedError.
        """
        return await Sandbox.create_async(
            None,
            template_name,
            sandbox_idle_timeout_seconds,
            sandbox_id,
            nas_config,
            oss_mount_config,
            polar_fs_config,
            self._config(config),
            **options,
        )

    def create_sandbox(
        self,
        template_name: str,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> Any:
        """Create a sandbox from a template, which is read first; the class returned fits the template's type.

        The `options` (`SandboxOptions`) are an extension of the local platform; elsewhere they raise UnsupportedError.
        """
        return run(
            self.create_sandbox_async(
                template_name,
                sandbox_idle_timeout_seconds,
                sandbox_id,
                nas_config,
                oss_mount_config,
                polar_fs_config,
                config,
                **options,
            )
        )

    async def stop_sandbox_async(self, sandbox_id: str, config: Config | None = None) -> Sandbox:
        """Stop a sandbox."""
        return await Sandbox.stop_by_id_async(sandbox_id, self._config(config))

    def stop_sandbox(self, sandbox_id: str, config: Config | None = None) -> Sandbox:
        """Stop a sandbox."""
        return run(self.stop_sandbox_async(sandbox_id, config))

    async def delete_sandbox_async(self, sandbox_id: str, config: Config | None = None) -> Sandbox:
        """Delete a sandbox; returns what it was."""
        return await Sandbox.delete_by_id_async(sandbox_id, self._config(config))

    def delete_sandbox(self, sandbox_id: str, config: Config | None = None) -> Sandbox:
        """Delete a sandbox; returns what it was."""
        return run(self.delete_sandbox_async(sandbox_id, config))

    async def get_sandbox_async(self, sandbox_id: str, config: Config | None = None) -> Sandbox:
        """Read a sandbox."""
        return await Sandbox.get_by_id_async(sandbox_id, self._config(config))

    def get_sandbox(self, sandbox_id: str, config: Config | None = None) -> Sandbox:
        """Read a sandbox."""
        return run(self.get_sandbox_async(sandbox_id, config))

    async def list_sandboxes_async(
        self, input: ListSandboxesInput | None = None, config: Config | None = None, **fields: Any
    ) -> ListSandboxesOutput:
        """One page of sandboxes."""
        return await Sandbox.list_async(input, self._config(config), **fields)

    def list_sandboxes(
        self, input: ListSandboxesInput | None = None, config: Config | None = None, **fields: Any
    ) -> ListSandboxesOutput:
        """One page of sandboxes."""
        return run(self.list_sandboxes_async(input, config, **fields))
