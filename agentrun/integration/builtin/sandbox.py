"""The tools of sandboxes for agents: one sandbox for each session of an agent, made when it first needs one."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from typing_extensions import Unpack

from agentrun._core.blocking import run
from agentrun._core.closing import close_at_exit
from agentrun._core.network import OSSMountConfig
from agentrun.config import Config
from agentrun.errors import UnsupportedError
from agentrun.integration._artifacts import artifact_tools
from agentrun.integration._session import PerSession, current_session
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet, close_each
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
from agentrun.sandbox.model import NASConfig, PolarFsConfig, TemplateType
from agentrun.sandbox.options import SandboxOptions
from agentrun.sandbox.toolset import SandboxTool, SandboxToolSet


class SessionSandboxes(PerSession):
    """A sandbox for each session, known by the session's name; `make` gives the tool set of a new one."""

    def __init__(self, make: Callable[[], SandboxToolSet]) -> None:
        self._make = make
        self._sets: dict[str | None, SandboxToolSet] = {}
        self._lock = threading.Lock()
        close_at_exit(self)

    def of_session(self, session_id: str | None) -> SandboxToolSet:
        """The tools of a session's sandbox; nothing is created before one of them is called."""
        with self._lock:
            if session_id not in self._sets:
                self._sets[session_id] = self._make()
            return self._sets[session_id]

    async def close_session_async(self, session_id: str | None) -> None:
        """Delete a session's sandbox, because the session is over; the next call in it would make a new one."""
        with self._lock:
            found = self._sets.pop(session_id, None)
        if found is not None:
            await found.close_async()

    async def sandbox_async(self) -> CodeInterpreterSandbox:
        """The sandbox of the session in which this is called; creates it when that has not been done."""
        return await self.of_session(current_session()).sandbox_async()

    def sandbox(self) -> CodeInterpreterSandbox:
        """The sandbox of the session in which this is called; creates it when that has not been done."""
        return run(self.sandbox_async())

    def tool(self, described: SandboxTool) -> Tool:
        """A tool that works in the sandbox of whichever session calls it."""
        return Tool(described.name, described.description, described.parameters, perform=self._performing(described))

    def _performing(self, described: SandboxTool) -> Callable[[dict[str, Any]], Awaitable[Any]]:
        async def perform(arguments: dict[str, Any]) -> Any:
            found = self.of_session(current_session()).tool(described.name)
            return await found.perform(found.checked(arguments))

        return perform

    async def close_async(self) -> None:
        """Delete all sandboxes; calling it twice is allowed."""
        with self._lock:
            sets, self._sets = list(self._sets.values()), {}
        await close_each(sets)


def sandbox_toolset(
    template_name: str,
    *,
    template_type: TemplateType | str = TemplateType.CODE_INTERPRETER,
    config: Config | None = None,
    sandbox_idle_timeout_seconds: int = 600,
    oss_mount_config: OSSMountConfig | None = None,
    nas_config: NASConfig | None = None,
    polar_fs_config: PolarFsConfig | None = None,
    local_artifact_dir: str | None = None,
    **options: Unpack[SandboxOptions],
) -> CommonToolSet:
    """The tools of a sandbox that is made from a template when one of them is first called.

    Each agent's session has a sandbox of its own. It is deleted by `close`, at the end of the process, or by the
    platform when nobody has used it for `sandbox_idle_timeout_seconds`. The other options are those of Sandbox.create.
    With `local_artifact_dir` there are tools that carry files between that folder and the sandbox. Raises
    UnsupportedError for templates whose sandboxes have no tools.
    """
    if template_type != TemplateType.CODE_INTERPRETER:
        raise UnsupportedError(
            501,
            f"sandboxes of type {TemplateType(template_type).value} have no tools in this version",
            hint="Use a template of type CODE_INTERPRETER",
        )
    make = partial(
        SandboxToolSet.of_template,
        template_name,
        sandbox_idle_timeout_seconds=sandbox_idle_timeout_seconds,
        config=config,
        oss_mount_config=oss_mount_config,
        nas_config=nas_config,
        polar_fs_config=polar_fs_config,
        **options,
    )
    sandboxes = SessionSandboxes(make)
    tools = [sandboxes.tool(each) for each in make().tools()]
    if local_artifact_dir is not None:
        tools += artifact_tools(local_artifact_dir, sandboxes.sandbox_async)
    return CommonToolSet(tools, [sandboxes])
