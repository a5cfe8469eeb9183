"""A sandbox as the backend of a deep agent: its files and its shell.

`create_deep_agent(backend=backend)` gives the agent its tools for files and commands; they work in the sandbox.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from agentrun._core.blocking import gather, run
from agentrun._core.closing import Closing, close_at_exit
from agentrun.config import Config
from agentrun.errors import AgentRunError, HTTPError, SandboxTerminatedError
from agentrun.integration._extra import framework
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
from agentrun.sandbox.toolset import SandboxToolSet

with framework("deepagents", "deepagents"):
    from deepagents.backends.protocol import (
        FILE_NOT_FOUND,
        INVALID_PATH,
        IS_DIRECTORY,
        PERMISSION_DENIED,
        ExecuteResponse,
        FileDownloadResponse,
        FileUploadResponse,
    )
    from deepagents.backends.sandbox import BaseSandbox

DEFAULT_SECONDS = 120
UNLIMITED_SECONDS = 24 * 3600  # A time-out of 0 means none, and everything has one here.
TIMED_OUT = 124
_ERRORS = {404: FILE_NOT_FOUND, 403: PERMISSION_DENIED, 400: INVALID_PATH}


class SandboxBackend(BaseSandbox, Closing):
    """A deep agent's backend in a sandbox, which is made from a template when it is first needed.

    Instead of a template's name it takes a sandbox that exists and stays the caller's. A command that fails is a
    result with its exit code; a sandbox that has ended raises SandboxTerminatedError.
    """

    def __init__(
        self,
        sandbox: str | CodeInterpreterSandbox,
        *,
        sandbox_idle_timeout_seconds: int = 600,
        config: Config | None = None,
        **options: Any,
    ) -> None:
        if isinstance(sandbox, CodeInterpreterSandbox):
            self._tools = SandboxToolSet(sandbox)
        else:
            self._tools = SandboxToolSet.of_template(
                sandbox, sandbox_idle_timeout_seconds=sandbox_idle_timeout_seconds, config=config, **options
            )
        close_at_exit(self)

    @property
    def id(self) -> str:
        """The id of the sandbox, which is created when that has not been done."""
        return self._tools.sandbox().label

    async def close_async(self) -> None:
        """Delete the sandbox, if it was created here; calling it twice is allowed."""
        await self._tools.close_async()

    # Commands

    async def aexecute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        """Run a shell command for at most `timeout` seconds; 0 is a day."""
        seconds = DEFAULT_SECONDS if timeout is None else timeout or UNLIMITED_SECONDS
        ended = await self._tools.use_async(lambda sandbox: sandbox.process.cmd_async(command, timeout=seconds))
        output = "".join(part for part in (ended.stdout, ended.stderr) if part)
        return ExecuteResponse(output=output, exit_code=ended.exit_code)

    def execute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        """Run a shell command for at most `timeout` seconds; 0 is a day."""
        return run(self.aexecute(command, timeout=timeout))

    # Files

    async def aupload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Write files, at the same time where that is possible."""
        return await gather(self._upload(path, content) for path, content in files)

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Write files, one after the other."""
        return run(self.aupload_files(files))

    async def adownload_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Read files, at the same time where that is possible."""
        return await gather(self._download(path) for path in paths)

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Read files, one after the other."""
        return run(self.adownload_files(paths))

    async def _upload(self, path: str, content: bytes) -> FileUploadResponse:
        writing = self._tools.use_async(lambda sandbox: sandbox.file.write_bytes_async(path, content))
        _, problem = await _tried(path, writing)
        return FileUploadResponse(path=path, error=problem)

    async def _download(self, path: str) -> FileDownloadResponse:
        content, problem = await _tried(
            path, self._tools.use_async(lambda sandbox: sandbox.file.read_bytes_async(path))
        )
        return FileDownloadResponse(path=path, content=content, error=problem)


async def _tried(path: str, act: Coroutine[Any, Any, Any]) -> tuple[Any, str | None]:
    """What became of one file: the result, or deepagents' word for what is wrong."""
    if not path.startswith("/"):
        act.close()
        return None, INVALID_PATH
    try:
        return await act, None
    except SandboxTerminatedError:
        raise
    except HTTPError as error:
        if "director" in error.message:
            return None, IS_DIRECTORY
        return None, _ERRORS.get(error.status_code or 0, error.message)
    except AgentRunError as error:
        return None, error.message
