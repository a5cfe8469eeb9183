"""The verbs on templates that `Sandbox` offers under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.sandbox.model import PageableInput, TemplateInput, TemplateUpdateInput
from agentrun.sandbox.template import Template


class TemplateVerbs:
    """Create, read, change, delete and list templates."""

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
