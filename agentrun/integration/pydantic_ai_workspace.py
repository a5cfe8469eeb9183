"""Sandboxes as the workspaces of PydanticAI: `Agent(..., capabilities=[AgentRunWorkspace("my-template")])`.

The framework derives its file operations from the sandbox's shell, with the errors that it wants.
"""

from __future__ import annotations

import asyncio
import math
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agentrun._core.closing import Closing
from agentrun._sandbox_tools.definitions import HOME
from agentrun.config import Config
from agentrun.errors import AgentRunError, ResourceNotExistError, SandboxTerminatedError
from agentrun.integration._extra import framework
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
from agentrun.sandbox.model import TemplateType
from agentrun.sandbox.sandbox import ENDED, Sandbox

with framework("pydantic_ai", "pydantic_ai"):
    from pydantic_ai import RunContext
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.workspaces import (
        CommandResult,
        WorkspaceBackend,
        WorkspaceRef,
        WorkspaceTimeoutError,
        WorkspaceUnavailableError,
    )

PROVIDER = "agentrun"
UNLIMITED_SECONDS = 24 * 3600
_ENDED = (ResourceNotExistError, SandboxTerminatedError)


class SandboxWorkspace(Closing):
    """A workspace in a sandbox, which is made from a template at the first operation; `ref` names one that exists.

    The framework deletes nothing: `close`, or this as a context manager, does, and else the platform when the sandbox
    has not been used for `sandbox_idle_timeout_seconds`. A sandbox that has ended raises WorkspaceUnavailableError.
    """

    def __init__(
        self,
        template_name: str,
        *,
        ref: WorkspaceRef | None = None,
        sandbox_idle_timeout_seconds: int = 600,
        config: Config | None = None,
        **options: Any,
    ) -> None:
        self._template_name = template_name
        self._ref = ref
        self._idle_seconds = sandbox_idle_timeout_seconds
        self._config = config
        self._options = options
        self._reaching: asyncio.Task[CodeInterpreterSandbox] | None = None
        self._sandbox: CodeInterpreterSandbox | None = None

    @property
    def ref(self) -> WorkspaceRef | None:
        """Which sandbox it is, None before there is one."""
        return self._ref

    async def working_dir(self) -> str:
        """Where commands begin."""
        await self.sandbox()
        return HOME

    async def run(
        self,
        command: str | Sequence[str],
        *,
        shell: bool = False,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> CommandResult:
        """Run a shell command or a program; an exit code other than 0 is a result."""
        if isinstance(command, str) != shell:
            raise TypeError("a command is a string with shell=True, and a sequence of words without")
        if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
            raise ValueError("timeout is a positive number of seconds, or None")
        line = command if isinstance(command, str) else shlex.join(command)
        seconds = UNLIMITED_SECONDS if timeout is None else math.ceil(timeout)
        sandbox = await self.sandbox()
        try:
            ended = await sandbox.process.cmd_async(line, timeout=seconds, env=env or None)
        except AgentRunError as error:
            if isinstance(error, _ENDED) or await _has_ended(sandbox):
                raise _gone(sandbox.label, error) from error
            raise
        if ended.status == "timeout":
            told = f"the command did not end within {seconds} s"
            raise WorkspaceTimeoutError(told, stdout=ended.stdout, stderr=ended.stderr)
        return CommandResult(exit_code=ended.exit_code or 0, stdout=ended.stdout, stderr=ended.stderr)

    async def sandbox(self) -> CodeInterpreterSandbox:
        """The sandbox; made, or found by its ref, when that has not been done."""
        if self._sandbox is None:
            if self._reaching is None or (self._reaching.done() and self._reaching.exception() is not None):
                self._reaching = asyncio.ensure_future(self._reached())
            # Whoever asked first may be cancelled; the others still wait, and a sandbox must not be lost.
            self._sandbox = await asyncio.shield(self._reaching)
        return self._sandbox

    async def close_async(self) -> None:
        """Delete the sandbox, if there is one; calling it twice is allowed."""
        if self._reaching is not None:
            with suppress(Exception):
                await self._reaching
        if self._ref is not None:
            with suppress(*_ENDED):
                await Sandbox.delete_by_id_async(self._ref.id, self._config)

    async def _reached(self) -> CodeInterpreterSandbox:
        if self._ref is None:
            made = await Sandbox.create_async(
                TemplateType.CODE_INTERPRETER,
                self._template_name,
                self._idle_seconds,
                config=self._config,
                **self._options,
            )
            self._ref = WorkspaceRef(provider=PROVIDER, id=made.label)
            ready: CodeInterpreterSandbox = await made.wait_until_healthy_async()
            return ready
        try:
            found = await CodeInterpreterSandbox.get_by_id_async(self._ref.id, self._config)
            return await found.wait_until_healthy_async()
        except _ENDED as error:
            raise _gone(self._ref.id, error) from error


@dataclass
class AgentRunWorkspace(AbstractCapability[Any]):
    """Gives each conversation a workspace in a sandbox of its own; a conversation that goes on keeps its sandbox."""

    template_name: str
    sandbox_idle_timeout_seconds: int = 600
    config: Config | None = None

    def get_workspace(self, ctx: RunContext[Any], *, ref: WorkspaceRef | None) -> WorkspaceBackend | None:
        """A workspace for a run, unless its ref is somebody else's."""
        if ref is not None and ref.provider != PROVIDER:
            return None
        return SandboxWorkspace(
            self.template_name,
            ref=ref,
            sandbox_idle_timeout_seconds=self.sandbox_idle_timeout_seconds,
            config=self.config,
        )


async def _has_ended(sandbox: CodeInterpreterSandbox) -> bool:
    try:
        return (await sandbox.get_async()).status == ENDED
    except _ENDED:
        return True
    except AgentRunError:
        return False  # Nobody knows.


def _gone(sandbox_id: str, error: Exception) -> WorkspaceUnavailableError:
    return WorkspaceUnavailableError(f"sandbox {sandbox_id} has ended; its files are gone: {error}")
