"""Skills for agents: folders with instructions, files and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import TypeIs

from agentrun.integration._skills import Approval, SkillLoader
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.builtin.sandbox import SessionSandboxes
from agentrun.sandbox.toolset import SandboxToolSet

if TYPE_CHECKING:
    from agentrun.config import Config
    from agentrun.tool import Tool as ToolResource


def skill_tools(
    name: str | ToolResource | Sequence[str] | None = None,
    *,
    skills_dir: str = ".skills",
    config: Config | None = None,
    command_approval: Approval | None = None,
    command_timeout: int = 300,
    sandbox: str | SandboxToolSet | SessionSandboxes | None = None,
) -> CommonToolSet:
    """The tools with which an agent finds, reads and uses skills: load_skills, read_skill_file, execute_command.

    Skills are the folders below `skills_dir` that have a SKILL.md, and those of the platform that are named, which are
    downloaded there. Commands run in `sandbox`, by the name of a template for one sandbox in each session. With
    `command_approval(command, folder)` instead they run on this machine, when it returns True. With neither they are
    refused. Raises ResourceNotExistError when a skill is first needed and the platform has none of that name.
    """
    names: list[str | ToolResource] = [] if name is None else [name] if _is_one(name) else list(name)
    loader = SkillLoader(skills_dir, names, config, command_approval, command_timeout, sandbox=sandbox)
    return loader.to_common_toolset()


def _is_one(name: str | ToolResource | Sequence[str]) -> TypeIs[str | ToolResource]:
    return isinstance(name, str) or hasattr(name, "tool_name")
