"""A sandbox of the platform, as tools."""

from __future__ import annotations

from typing import Any

from agentrun.errors import InvalidInputError
from agentrun.integration import builtin
from agentrun.integration._toolset import CommonToolSet


def toolset(template_name: str | None = None, **options: Any) -> CommonToolSet:
    """The tools of a sandbox made from a template at the first call; the options are those of sandbox_toolset."""
    if not template_name:
        raise InvalidInputError(
            "a sandbox needs a template", field="template_name", hint='hub.get("sandbox", template_name="...")'
        )
    return builtin.sandbox_toolset(template_name, **options)
