"""The control operations on templates and sandboxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.api import ControlAPI, Operation
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.errors import HTTPError
from agentrun.sandbox.calls import terminated
from agentrun.sandbox.model import (
    ListSandboxesInput,
    PageableInput,
    SandboxInput,
    TemplateInput,
    TemplateMcpOptions,
    TemplateUpdateInput,
)

_TEMPLATES = "/2025-09-10/templates"
_TEMPLATE = f"{_TEMPLATES}/{{template_name}}"
_SANDBOXES = "/2025-09-10/sandboxes"
_SANDBOX = f"{_SANDBOXES}/{{sandbox_id}}"
CREATE_TEMPLATE = Operation("CreateTemplate", "POST", _TEMPLATES)
DELETE_TEMPLATE = Operation("DeleteTemplate", "DELETE", _TEMPLATE)
UPDATE_TEMPLATE = Operation("UpdateTemplate", "PUT", _TEMPLATE)
GET_TEMPLATE = Operation("GetTemplate", "GET", _TEMPLATE)
LIST_TEMPLATES = Operation("ListTemplates", "GET", _TEMPLATES)
ACTIVATE_MCP = Operation("ActivateTemplateMCP", "PATCH", f"{_TEMPLATE}/mcp/activate")
STOP_MCP = Operation("StopTemplateMCP", "PATCH", f"{_TEMPLATE}/mcp/stop")
CREATE_SANDBOX = Operation("CreateSandbox", "POST", _SANDBOXES)
DELETE_SANDBOX = Operation("DeleteSandbox", "DELETE", _SANDBOX)
GET_SANDBOX = Operation("GetSandbox", "GET", _SANDBOX)
STOP_SANDBOX = Operation("StopSandbox", "POST", f"{_SANDBOX}/stop")
PAUSE_SANDBOX = Operation("PauseSandbox", "PUT", f"{_SANDBOX}/pause")
RESUME_SANDBOX = Operation("ResumeSandbox", "PUT", f"{_SANDBOX}/resume")
LIST_SANDBOXES = Operation("ListSandboxes", "GET", _SANDBOXES)
_TEMPLATE_KIND = "Template"


class SandboxControlAPI(ControlAPI):
    """One method per operation; each answers the envelope's data in the wire's names."""

    kind = "Sandbox"

    async def _call(self, operation: Operation, *names: str, **options: Any) -> dict[str, Any]:
        try:
            return await super()._call(operation, *names, **options)
        except HTTPError as error:
            raise (terminated(error) if error.status_code == 410 else error) from error

    async def create_template_async(
        self, input: TemplateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a template."""
        label = input.template_name
        return await self._call(
            CREATE_TEMPLATE, body=input, headers=headers, config=config, label=label, kind=_TEMPLATE_KIND
        )

    def create_template(
        self, input: TemplateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a template."""
        return run(self.create_template_async(input, headers, config))

    async def delete_template_async(
        self, template_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a template; answers what it was."""
        return await self._call(DELETE_TEMPLATE, template_name, headers=headers, config=config, kind=_TEMPLATE_KIND)

    def delete_template(
        self, template_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a template; answers what it was."""
        return run(self.delete_template_async(template_name, headers, config))

    async def update_template_async(
        self,
        template_name: str,
        input: TemplateUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a template."""
        return await self._call(
            UPDATE_TEMPLATE, template_name, body=input, headers=headers, config=config, kind=_TEMPLATE_KIND
        )

    def update_template(
        self,
        template_name: str,
        input: TemplateUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a template."""
        return run(self.update_template_async(template_name, input, headers, config))

    async def get_template_async(
        self, template_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a template."""
        return await self._call(GET_TEMPLATE, template_name, headers=headers, config=config, kind=_TEMPLATE_KIND)

    def get_template(
        self, template_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a template."""
        return run(self.get_template_async(template_name, headers, config))

    async def list_templates_async(
        self, input: PageableInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of templates."""
        return await self._call(LIST_TEMPLATES, query=input, headers=headers, config=config, kind=_TEMPLATE_KIND)

    def list_templates(
        self, input: PageableInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of templates."""
        return run(self.list_templates_async(input, headers, config))

    async def activate_template_mcp_async(
        self,
        template_name: str,
        input: TemplateMcpOptions,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Start a template's MCP server."""
        return await self._call(
            ACTIVATE_MCP, template_name, body=input, headers=headers, config=config, kind=_TEMPLATE_KIND
        )

    def activate_template_mcp(
        self,
        template_name: str,
        input: TemplateMcpOptions,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Start a template's MCP server."""
        return run(self.activate_template_mcp_async(template_name, input, headers, config))

    async def stop_template_mcp_async(
        self, template_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Stop a template's MCP server."""
        return await self._call(STOP_MCP, template_name, headers=headers, config=config, kind=_TEMPLATE_KIND)

    def stop_template_mcp(
        self, template_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Stop a template's MCP server."""
        return run(self.stop_template_mcp_async(template_name, headers, config))

    async def create_sandbox_async(
        self, input: SandboxInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a sandbox through the control plane."""
        return await self._call(CREATE_SANDBOX, body=input, headers=headers, config=config, label=input.sandbox_id)

    def create_sandbox(
        self, input: SandboxInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a sandbox through the control plane."""
        return run(self.create_sandbox_async(input, headers, config))

    async def delete_sandbox_async(
        self, sandbox_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a sandbox through the control plane."""
        return await self._call(DELETE_SANDBOX, sandbox_id, headers=headers, config=config)

    def delete_sandbox(
        self, sandbox_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a sandbox through the control plane."""
        return run(self.delete_sandbox_async(sandbox_id, headers, config))

    async def stop_sandbox_async(
        self, sandbox_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Stop a sandbox through the control plane."""
        return await self._call(STOP_SANDBOX, sandbox_id, headers=headers, config=config)

    def stop_sandbox(
        self, sandbox_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Stop a sandbox through the control plane."""
        return run(self.stop_sandbox_async(sandbox_id, headers, config))

    async def pause_sandbox_async(
        self, sandbox_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Freeze a sandbox with all that it holds in memory."""
        return await self._call(PAUSE_SANDBOX, sandbox_id, headers=headers, config=config)

    def pause_sandbox(
        self, sandbox_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Freeze a sandbox with all that it holds in memory."""
        return run(self.pause_sandbox_async(sandbox_id, headers, config))

    async def resume_sandbox_async(
        self, sandbox_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Let a paused sandbox go on where it was."""
        return await self._call(RESUME_SANDBOX, sandbox_id, headers=headers, config=config)

    def resume_sandbox(
        self, sandbox_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Let a paused sandbox go on where it was."""
        return run(self.resume_sandbox_async(sandbox_id, headers, config))

    async def get_sandbox_async(
        self, sandbox_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a sandbox through the control plane."""
        return await self._call(GET_SANDBOX, sandbox_id, headers=headers, config=config)

    def get_sandbox(
        self, sandbox_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a sandbox through the control plane."""
        return run(self.get_sandbox_async(sandbox_id, headers, config))

    async def list_sandboxes_async(
        self, input: ListSandboxesInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of sandboxes, with the token of the next one."""
        return await self._call(LIST_SANDBOXES, query=input, headers=headers, config=config)

    def list_sandboxes(
        self, input: ListSandboxesInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of sandboxes, with the token of the next one."""
        return run(self.list_sandboxes_async(input, headers, config))
