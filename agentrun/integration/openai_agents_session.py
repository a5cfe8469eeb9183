"""A session of the OpenAI Agents SDK in a sandbox: its commands, its files and its workspace as a whole."""

from __future__ import annotations

import io
import math
import shlex
import tarfile
import uuid
from pathlib import Path
from typing import Any, Literal

from agentrun._sandbox_tools.definitions import HOME
from agentrun.errors import AgentRunError, ResourceNotExistError, SandboxTerminatedError
from agentrun.integration._extra import framework
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox

with framework("openai_agents", "agents"):
    from agents.sandbox import (
        ExecResult,
        ExecTimeoutError,
        ExecTransportError,
        User,
        WorkspaceArchiveReadError,
        WorkspaceArchiveWriteError,
        WorkspaceReadNotFoundError,
        WorkspaceWriteTypeError,
    )
    from agents.sandbox.errors import WorkspaceStartError
    from agents.sandbox.session import (
        BaseSandboxClientOptions,
        BaseSandboxSession,
        SandboxSessionState,
    )
    from agents.sandbox.util.tar_utils import UnsafeTarMemberError, validate_tarfile

ROOT = f"{HOME}/workspace"  # The SDK's own default is at the top, where code in a sandbox may not write.
UNLIMITED_SECONDS = 24 * 3600
NOT_FOUND = 404
ENDED = (ResourceNotExistError, SandboxTerminatedError)


class AgentRunSandboxClientOptions(BaseSandboxClientOptions):
    """Which sandboxes are made; with `pause_on_exit` one is paused when its session ends, for `resume` to go on."""

    type: Literal["agentrun"] = "agentrun"
    template_name: str
    sandbox_idle_timeout_seconds: int = 600
    pause_on_exit: bool = False


class AgentRunSandboxSessionState(SandboxSessionState):
    """What is needed to go on with a session: its sandbox, and how it was made."""

    type: Literal["agentrun"] = "agentrun"
    sandbox_id: str
    options: AgentRunSandboxClientOptions


class AgentRunSandboxSession(BaseSandboxSession):
    """A session of the SDK in a sandbox; the sandbox ends with it."""

    def __init__(self, state: AgentRunSandboxSessionState, sandbox: CodeInterpreterSandbox) -> None:
        self.state: AgentRunSandboxSessionState = state
        self.sandbox = sandbox

    @property
    def root(self) -> str:
        """The folder that the agent works in."""
        return self.state.manifest.root

    async def running(self) -> bool:
        """Whether the sandbox answers."""
        try:
            return (await self.sandbox.check_health_async()).get("status") == "ok"
        except AgentRunError:
            return False

    async def _prepare_backend_workspace(self) -> None:
        try:
            await self.sandbox.file_system.mkdir_async(self.root, parents=True)
        except AgentRunError as error:
            raise WorkspaceStartError(path=Path(self.root), cause=error, message=str(error)) from error

    async def _exec_internal(self, *command: str | Path, timeout: float | None = None) -> ExecResult:
        seconds = UNLIMITED_SECONDS if timeout is None else max(1, math.ceil(timeout))
        try:
            environment = await self.state.manifest.environment.resolve()
            ended = await self.sandbox.process.cmd_async(
                shlex.join(map(str, command)), self.root, seconds, env=environment or None
            )
        except AgentRunError as error:
            context = {"reason": type(error).__name__}
            retryable = False if isinstance(error, ENDED) else None
            raise ExecTransportError(
                command=command, context=context, cause=error, message=str(error), retryable=retryable
            ) from error
        if ended.status == "timeout":
            raise ExecTimeoutError(command=command, timeout_s=timeout)
        return ExecResult(stdout=ended.stdout.encode(), stderr=ended.stderr.encode(), exit_code=ended.exit_code or 0)

    # Files

    async def read(self, path: Path, *, user: str | User | None = None) -> io.IOBase:
        """A file of the workspace; raises WorkspaceReadNotFoundError when there is none."""
        found = await self._check_read_with_exec(path, user=user) if user else self.normalize_path(path)
        try:
            return io.BytesIO(await self.sandbox.file.read_bytes_async(found.as_posix()))
        except AgentRunError as error:
            if error.status_code == NOT_FOUND and not isinstance(error, ENDED):
                raise WorkspaceReadNotFoundError(path=path, cause=error) from error
            raise WorkspaceArchiveReadError(path=path, cause=error) from error

    async def write(self, path: Path, data: io.IOBase, *, user: str | User | None = None) -> None:
        """Write a file of the workspace, with the folders it is in."""
        found = (
            await self._check_write_with_exec(path, user=user) if user else self.normalize_path(path, for_write=True)
        )
        content: Any = data.read()
        if isinstance(content, str):
            content = content.encode()
        if not isinstance(content, (bytes, bytearray)):
            raise WorkspaceWriteTypeError(path=path, actual_type=type(content).__name__)
        await self._put(found, bytes(content))

    async def _put(self, path: Path, content: bytes) -> None:
        try:
            await self.sandbox.file.write_bytes_async(path.as_posix(), content)
        except AgentRunError as error:
            raise WorkspaceArchiveWriteError(path=path, cause=error) from error

    # The workspace as a whole

    async def persist_workspace(self) -> io.IOBase:
        """The workspace as a tar archive, without what its manifest calls ephemeral."""
        archive = _temporary()
        skipped = [f"--exclude=./{path.as_posix()}" for path in sorted(self._persist_workspace_skip_relpaths())]
        await self._exec_checked_nonzero("tar", "-cf", str(archive), *skipped, "-C", self.root, ".")
        try:
            return io.BytesIO(await self.sandbox.file.read_bytes_async(archive.as_posix()))
        except AgentRunError as error:
            raise WorkspaceArchiveReadError(path=archive, cause=error) from error
        finally:
            await self.exec("rm", "-f", archive, shell=False)

    async def hydrate_workspace(self, data: io.IOBase) -> None:
        """Fill the workspace from a tar archive; raises WorkspaceArchiveWriteError for one that is not safe."""
        content: bytes = data.read()
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                validate_tarfile(archive)
        except (tarfile.TarError, UnsafeTarMemberError) as error:
            raise WorkspaceArchiveWriteError(path=Path(self.root), cause=error) from error
        sent = _temporary()
        await self._put(sent, content)
        try:
            await self._exec_checked_nonzero("tar", "-xf", str(sent), "-C", self.root)
        finally:
            await self.exec("rm", "-f", sent, shell=False)

    async def _shutdown_backend(self) -> None:
        if self.state.options.pause_on_exit:
            await self.sandbox.pause_async()
            return
        await self.sandbox.delete_async()


def _temporary() -> Path:
    return Path(f"/tmp/agentrun-{uuid.uuid4().hex}.tar")
