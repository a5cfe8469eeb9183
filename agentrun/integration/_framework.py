"""The functions that every framework has, written once: a framework only says what a tool and a model become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agentrun.integration import builtin
from agentrun.integration._conversions import Filter, Modify
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet, Tools

if TYPE_CHECKING:
    from agentrun.config import Config
    from agentrun.integration._model import CommonModel
    from agentrun.model import BackendType, ModelProxy, ModelService
    from agentrun.sandbox.model import TemplateType
    from agentrun.tool import Tool as ToolResource
    from agentrun.toolset import ToolSet

ToolT = TypeVar("ToolT")
ModelT = TypeVar("ModelT")


class Framework(Generic[ToolT, ModelT]):
    """A framework: what it makes of a tool and of a model; its methods are the functions of its module."""

    def __init__(self, to_tool: Callable[[Tool], ToolT], to_model: Callable[[CommonModel], ModelT]) -> None:
        self.to_tool = to_tool
        self.to_model = to_model

    def model(
        self,
        name: str | ModelProxy | ModelService,
        *,
        model: str | None = None,
        backend_type: BackendType | None = None,
        config: Config | None = None,
    ) -> ModelT:
        """A model service or proxy as the framework's own model; `model` is asked instead of the one that it names.

        Raises ResourceNotExistError when there is none of that name, and ConfigError when it has no key.
        """
        return self.to_model(builtin.model(name, model=model, backend_type=backend_type, config=config))

    def toolset(
        self,
        name: str | ToolSet,
        *,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
        config: Config | None = None,
    ) -> Tools[ToolT]:
        """The tools of a tool set; raises ResourceNotExistError."""
        found = builtin.toolset(name, config=config)
        return self.tools(found, prefix, modify_tool_name, filter_tools_by_name)

    def tool_resource(
        self,
        name: str | ToolResource,
        *,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
        config: Config | None = None,
    ) -> Tools[ToolT]:
        """What a tool of the platform offers; raises ResourceNotExistError."""
        found = builtin.tool_resource(name, config=config)
        return self.tools(found, prefix, modify_tool_name, filter_tools_by_name)

    def sandbox_toolset(
        self,
        template_name: str,
        *,
        template_type: TemplateType | str = "CodeInterpreter",
        config: Config | None = None,
        sandbox_idle_timeout_seconds: int = 600,
        local_artifact_dir: str | None = None,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> Tools[ToolT]:
        """The tools of a sandbox that is made from a template when one of them is first called.

        Each agent's session has a sandbox of its own. It is deleted by `close` of the list, at the end of the process,
        or by the platform when nobody has used it for `sandbox_idle_timeout_seconds`.
        """
        found = builtin.sandbox_toolset(
            template_name,
            template_type=template_type,
            config=config,
            sandbox_idle_timeout_seconds=sandbox_idle_timeout_seconds,
            local_artifact_dir=local_artifact_dir,
        )
        return self.tools(found, prefix, modify_tool_name, filter_tools_by_name)

    def knowledgebase_toolset(
        self,
        knowledge_base_names: Sequence[str],
        *,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
        config: Config | None = None,
    ) -> Tools[ToolT]:
        """One tool that searches these knowledge bases."""
        found = builtin.knowledgebase_toolset(knowledge_base_names, config=config)
        return self.tools(found, prefix, modify_tool_name, filter_tools_by_name)

    def skill_tools(
        self,
        name: str | ToolResource | Sequence[str] | None = None,
        *,
        skills_dir: str = ".skills",
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
        config: Config | None = None,
        command_approval: Callable[[str, str], Any] | None = None,
        command_timeout: int = 300,
        sandbox: str | None = None,
    ) -> Tools[ToolT]:
        """The tools with which an agent finds, reads and uses skills.

        Commands of skills run in a sandbox made from the template `sandbox`, one for each session; with
        `command_approval(command, folder)` instead on this machine, when it returns True; with neither not at all.
        """
        found = builtin.skill_tools(
            name,
            skills_dir=skills_dir,
            config=config,
            command_approval=command_approval,
            command_timeout=command_timeout,
            sandbox=sandbox,
        )
        return self.tools(found, prefix, modify_tool_name, filter_tools_by_name)

    def tools(
        self,
        found: CommonToolSet,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> Tools[ToolT]:
        """Tools of any origin, as the framework's own."""
        return found.converted(self.to_tool, prefix, modify_tool_name, filter_tools_by_name)
