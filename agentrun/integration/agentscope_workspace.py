"""Sandboxes as the workspaces of AgentScope 2: its tools for commands and files, its skills and its MCP servers.

`async with AgentRunWorkspace("my-template") as workspace: Toolkit(tools=await workspace.list_tools(), ...)`
"""

from __future__ import annotations

import asyncio
import logging
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from agentrun._sandbox_tools.definitions import HOME
from agentrun.config import Config
from agentrun.errors import AgentRunError, HTTPError, SandboxTerminatedError
from agentrun.integration._extra import framework
from agentrun.integration._outcome import error_text
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
from agentrun.sandbox.model import TemplateType
from agentrun.sandbox.sandbox import Sandbox
from agentrun.sandbox.toolset import SandboxToolSet
from agentrun.sandbox.toolset.toolset import started

with framework("agentscope", "agentscope"):
    from agentscope import __version__
    from agentscope.mcp import MCPClient
    from agentscope.tool import BackendBase, ExecResult, ToolBase

    # The base of all its sandboxes has no public name.
    from agentscope.workspace._sandboxed_base import SandboxedWorkspaceBase
    from agentscope.workspace._utils import (
        _GATEWAY_BASE_REQUIREMENTS,
        DEFAULT_WORKSPACE_INSTRUCTIONS,
        _read_glob_helper_bytes,
    )

log = logging.getLogger("agentrun")

WORKDIR = f"{HOME}/workspace"
UNLIMITED_SECONDS = 24 * 3600
NOT_FOUND = 404


class AgentRunBackend(BackendBase):
    """What AgentScope's tools need of a place, in a sandbox.

    A command that fails is a result; a sandbox that has ended raises SandboxTerminatedError, which the tools tell.
    """

    def __init__(
        self, sandbox: CodeInterpreterSandbox, workdir: str = WORKDIR, env: Mapping[str, str] | None = None
    ) -> None:
        self.sandbox = sandbox
        self._sandboxed = SandboxToolSet(sandbox)
        self._workdir = workdir
        self._settings = ["env", *(f"{name}={value}" for name, value in env.items())] if env else []

    async def getcwd(self) -> str:
        """Where commands begin."""
        return self._workdir

    async def exec_shell(
        self, command: list[str], *, cwd: str | None = None, timeout: float | None = None
    ) -> ExecResult:
        """Run a program with its arguments, for at most `timeout` seconds or else a day."""
        seconds = UNLIMITED_SECONDS if timeout is None else max(1, math.ceil(timeout))
        line = shlex.join([*self._settings, *command])
        try:
            ended = await self._sandboxed.use_async(
                lambda sandbox: sandbox.process.cmd_async(line, cwd or self._workdir, seconds)
            )
        except SandboxTerminatedError:
            raise
        except AgentRunError as error:
            return ExecResult(-1, b"", error_text(error).encode())
        if ended.status == "timeout":
            return ExecResult(-1, ended.stdout.encode(), b"timed out")  # By this text the tools know it.
        return ExecResult(ended.exit_code or 0, ended.stdout.encode(), ended.stderr.encode())

    async def read_file(self, path: str) -> bytes:
        """A whole file; raises FileNotFoundError when there is none."""
        try:
            return await self._sandboxed.use_async(lambda sandbox: sandbox.file.read_bytes_async(path))
        except HTTPError as error:
            if error.status_code == NOT_FOUND:
                raise FileNotFoundError(f"there is no file {path} in the sandbox") from error
            raise

    async def write_file(self, path: str, data: bytes) -> None:
        """Write a whole file, with the folders it is in."""
        await self._sandboxed.use_async(lambda sandbox: sandbox.file.write_bytes_async(path, data))


class AgentRunWorkspace(SandboxedWorkspaceBase):
    """A workspace of AgentScope in a sandbox, which is made from a template by `initialize`.

    Instead of a template's name it takes a sandbox that exists and stays the caller's. `close` deletes the sandbox that
    was made here; with `pause_on_close` it pauses it, and `initialize` goes on with it. The other options are those of
    Sandbox.create.

    MCP servers run in the sandbox, behind AgentScope's gateway. It starts when the first of them is needed, and
    `bootstrap` are the shell commands that put its Python at `$HOME/.agentscope/.venv`; by default they install
    AgentScope there, which needs a package index that the sandbox can reach.
    """

    workdir = WORKDIR
    _gateway_home = f"{HOME}/.agentscope"
    _bootstrap_cmd_timeout = 600.0

    def __init__(
        self,
        sandbox: str | CodeInterpreterSandbox,
        *,
        workspace_id: str | None = None,
        sandbox_idle_timeout_seconds: int = 600,
        pause_on_close: bool = False,
        config: Config | None = None,
        env: Mapping[str, str] | None = None,
        bootstrap: Sequence[str] | None = None,
        gateway_port: int = 5600,
        instructions: str = DEFAULT_WORKSPACE_INSTRUCTIONS,
        default_mcps: list[MCPClient] | None = None,
        skill_paths: list[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(workspace_id=workspace_id, default_mcps=default_mcps, skill_paths=skill_paths)
        self._given = sandbox
        self._sandbox: CodeInterpreterSandbox | None = None
        self._idle_seconds = sandbox_idle_timeout_seconds
        self._pause_on_close = pause_on_close
        self._config = config
        self._env = env
        self._bootstrap = bootstrap
        self._options = options
        self._instructions = instructions
        self._gateway_starts = asyncio.Lock()
        self.gateway_port = gateway_port

    @property
    def sandbox(self) -> CodeInterpreterSandbox | None:
        """The sandbox, None before `initialize` and after it has been deleted."""
        return self._sandbox

    async def get_instructions(self) -> str:
        """What an agent is told of its workspace."""
        return self._instructions.format(backend="sandbox-based", workdir=self.workdir)

    async def list_tools(self) -> list[ToolBase]:
        """AgentScope's tools in the sandbox; Grep is one of them where the sandbox has `rg`, by which it works."""
        found = await self.get_backend().exec_shell(["sh", "-c", "command -v rg"])
        return [tool for tool in await super().list_tools() if found.ok() or tool.name != "Grep"]

    # Lifecycle

    async def initialize(self) -> None:
        """Make the sandbox, or go on with it; raises ResourceNotExistError when there is no such template."""
        try:
            await super().initialize()
        except BaseException:
            await asyncio.shield(self.close())
            raise

    async def _provision_backend(self) -> None:
        self._sandbox = await self._reached()
        self._backend = AgentRunBackend(self._sandbox, self.workdir, self._env)

    async def _reached(self) -> CodeInterpreterSandbox:
        if isinstance(self._given, CodeInterpreterSandbox):
            return self._given
        if self._sandbox is not None:
            await self._sandbox.resume_async()
            return await self._sandbox.wait_until_healthy_async()
        made = await Sandbox.create_async(
            TemplateType.CODE_INTERPRETER, self._given, self._idle_seconds, config=self._config, **self._options
        )
        return await started(made)

    async def _teardown_backend(self) -> None:
        sandbox = self._sandbox
        if sandbox is None or isinstance(self._given, CodeInterpreterSandbox):
            return
        try:
            if self._pause_on_close:
                await sandbox.pause_async()
            else:
                self._sandbox = None
                await sandbox.delete_async()
        except AgentRunError as problem:
            log.warning("sandbox %s could not be closed: %s", sandbox.sandbox_id, problem)

    # MCP servers

    async def list_mcps(self, *, agent_id: str | None = None, session_id: str | None = None) -> list[MCPClient]:
        """The MCP servers of a session, connected."""
        if self._declared_specs(agent_id or "", session_id or ""):
            await self._need_gateway()
        return await super().list_mcps(agent_id=agent_id, session_id=session_id)

    async def add_mcp(
        self, mcp_client: MCPClient, *, agent_id: str | None = None, session_id: str | None = None
    ) -> MCPClient:
        """Start an MCP server in the sandbox; raises RuntimeError when it cannot be."""
        await self._need_gateway()
        return await super().add_mcp(mcp_client, agent_id=agent_id, session_id=session_id)

    async def remove_mcp(self, name: str, *, agent_id: str | None = None, session_id: str | None = None) -> None:
        """End an MCP server."""
        await self._need_gateway()
        await super().remove_mcp(name, agent_id=agent_id, session_id=session_id)

    async def _setup_mcp_gateway(self) -> None:
        # The base starts the gateway here, with all that it installs, whether it is needed or not.
        await self.get_backend().write_file(self._glob_helper_path, _read_glob_helper_bytes())

    async def _need_gateway(self) -> None:
        async with self._gateway_starts:
            if self._gateway is not None:
                return
            try:
                await super()._setup_mcp_gateway()
            except BaseException:
                self._gateway = None
                raise

    def _bootstrap_commands(self) -> list[str]:
        if self._bootstrap is not None:
            return list(self._bootstrap)
        packages = shlex.join([*_GATEWAY_BASE_REQUIREMENTS])
        install = f"{shlex.quote(self._gateway_python)} -m pip install --quiet"
        return [
            f"python3 -m venv {shlex.quote(self._gateway_venv)}",
            f"{install} {packages}",
            # All that its gateway needs of AgentScope's own requirements is named above.
            f"{install} --no-deps agentscope=={__version__}",
        ]
