"""A code interpreter: a sandbox with contexts that run code, files, and processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from pydantic import PrivateAttr

from agentrun._core.blocking import run
from agentrun.errors import AgentRunError, InvalidInputError, InvalidResponseError
from agentrun.sandbox.data import EXECUTE_SECONDS, HOME, CodeInterpreterDataAPI
from agentrun.sandbox.model import CodeLanguage, TemplateType
from agentrun.sandbox.result import ExecutionResult
from agentrun.sandbox.sandbox import Sandbox


class _Operations:
    """A family of operations on one sandbox."""

    def __init__(self, sandbox: CodeInterpreterSandbox) -> None:
        self._sandbox = sandbox

    @property
    def _api(self) -> CodeInterpreterDataAPI:
        return self._sandbox.data_api


class FileOperations(_Operations):
    """Small files as a whole."""

    async def read_async(self, path: str) -> dict[str, Any]:
        """A file: `content` is text, or Base64 when `encoding` says so; `size` is bytes."""
        return await self._api.read_file_async(path)

    def read(self, path: str) -> dict[str, Any]:
        """A file: `content` is text, or Base64 when `encoding` says so; `size` is bytes."""
        return run(self.read_async(path))

    async def write_async(
        self, path: str, content: str, mode: str = "644", encoding: str = "utf-8", create_dir: bool = True
    ) -> dict[str, Any]:
        """Write a file; with the encoding `base64` the content is bytes."""
        return await self._api.write_file_async(path, content, mode, encoding, create_dir)

    def write(
        self, path: str, content: str, mode: str = "644", encoding: str = "utf-8", create_dir: bool = True
    ) -> dict[str, Any]:
        """Write a file; with the encoding `base64` the content is bytes."""
        return run(self.write_async(path, content, mode, encoding, create_dir))


class FileSystemOperations(_Operations):
    """Folders, and files of any size on their way in and out."""

    async def list_async(self, path: str | None = None, depth: int | None = None) -> dict[str, Any]:
        """The entries of a folder, down to `depth`."""
        return await self._api.list_directory_async(path, depth)

    def list(self, path: str | None = None, depth: int | None = None) -> dict[str, Any]:
        """The entries of a folder, down to `depth`."""
        return run(self.list_async(path, depth))

    async def move_async(self, source: str, destination: str) -> dict[str, Any]:
        """Move a file or a folder."""
        return await self._api.move_file_async(source, destination)

    def move(self, source: str, destination: str) -> dict[str, Any]:
        """Move a file or a folder."""
        return run(self.move_async(source, destination))

    async def remove_async(self, path: str) -> dict[str, Any]:
        """Remove a file or a folder with what is in it; one that is not there is no error."""
        return await self._api.remove_file_async(path)

    def remove(self, path: str) -> dict[str, Any]:
        """Remove a file or a folder with what is in it; one that is not there is no error."""
        return run(self.remove_async(path))

    async def stat_async(self, path: str) -> dict[str, Any]:
        """What a path is: type, size in bytes, mode, owner, time."""
        return await self._api.stat_async(path)

    def stat(self, path: str) -> dict[str, Any]:
        """What a path is: type, size in bytes, mode, owner, time."""
        return run(self.stat_async(path))

    async def mkdir_async(self, path: str, parents: bool | None = True, mode: str | None = "0755") -> dict[str, Any]:
        """Make a folder; one that is there already is no error."""
        return await self._api.mkdir_async(path, parents, mode)

    def mkdir(self, path: str, parents: bool | None = True, mode: str | None = "0755") -> dict[str, Any]:
        """Make a folder; one that is there already is no error."""
        return run(self.mkdir_async(path, parents, mode))

    async def upload_async(self, local_file_path: str | os.PathLike[str], target_file_path: str) -> dict[str, Any]:
        """Send a local file, however large; raises InvalidInputError when it is not there."""
        return await self._api.upload_file_async(local_file_path, target_file_path)

    def upload(self, local_file_path: str | os.PathLike[str], target_file_path: str) -> dict[str, Any]:
        """Send a local file, however large; raises InvalidInputError when it is not there."""
        return run(self.upload_async(local_file_path, target_file_path))

    async def download_async(self, path: str, save_path: str | os.PathLike[str]) -> dict[str, Any]:
        """Fetch a file, however large: `{"saved_path": ..., "size": bytes}`."""
        return await self._api.download_file_async(path, save_path)

    def download(self, path: str, save_path: str | os.PathLike[str]) -> dict[str, Any]:
        """Fetch a file, however large: `{"saved_path": ..., "size": bytes}`."""
        return run(self.download_async(path, save_path))


class ProcessOperations(_Operations):
    """Shell commands and what runs."""

    async def cmd_async(self, command: str, cwd: str = HOME, timeout: int | None = EXECUTE_SECONDS) -> dict[str, Any]:
        """Run a shell command for at most `timeout` seconds: `result` holds `exitCode`, `stdout` and `stderr`."""
        return await self._api.cmd_async(command, cwd, timeout)

    def cmd(self, command: str, cwd: str = HOME, timeout: int | None = EXECUTE_SECONDS) -> dict[str, Any]:
        """Run a shell command for at most `timeout` seconds: `result` holds `exitCode`, `stdout` and `stderr`."""
        return run(self.cmd_async(command, cwd, timeout))

    async def list_async(self) -> dict[str, Any]:
        """All processes, under `items`."""
        return await self._api.list_processes_async()

    def list(self) -> dict[str, Any]:
        """All processes, under `items`."""
        return run(self.list_async())

    async def get_async(self, pid: str) -> dict[str, Any]:
        """Read a process."""
        return await self._api.get_process_async(pid)

    def get(self, pid: str) -> dict[str, Any]:
        """Read a process."""
        return run(self.get_async(pid))

    async def kill_async(self, pid: str) -> dict[str, Any]:
        """Kill a process."""
        return await self._api.kill_process_async(pid)

    def kill(self, pid: str) -> dict[str, Any]:
        """Kill a process."""
        return run(self.kill_async(pid))


class ContextOperations(_Operations):
    """Contexts, which keep variables from one execution to the next.

    `sandbox.context` remembers the context made or read last and runs code there; what `create` and `get` return
    stays with its own context, and as a context manager deletes it at the end.
    """

    def __init__(self, sandbox: CodeInterpreterSandbox, context_id: str | None = None) -> None:
        super().__init__(sandbox)
        self._context_id = context_id

    @property
    def context_id(self) -> str | None:
        """The context that code runs in, None when each execution has one of its own."""
        return self._context_id

    async def list_async(self) -> Sequence[dict[str, Any]]:
        """All contexts: `id`, `language`, `cwd`."""
        return await self._api.list_contexts_async()

    def list(self) -> Sequence[dict[str, Any]]:
        """All contexts: `id`, `language`, `cwd`."""
        return run(self.list_async())

    async def create_async(
        self, language: CodeLanguage | str | None = CodeLanguage.PYTHON, cwd: str = HOME
    ) -> ContextOperations:
        """Start a context; the result runs code there."""
        return self._bound(await self._api.create_context_async(language, cwd))

    def create(self, language: CodeLanguage | str | None = CodeLanguage.PYTHON, cwd: str = HOME) -> ContextOperations:
        """Start a context; the result runs code there."""
        return run(self.create_async(language, cwd))

    async def get_async(self, context_id: str | None = None) -> ContextOperations:
        """Read a context; the result runs code there."""
        return self._bound(await self._api.get_context_async(self._chosen(context_id)))

    def get(self, context_id: str | None = None) -> ContextOperations:
        """Read a context; the result runs code there."""
        return run(self.get_async(context_id))

    async def execute_async(
        self,
        code: str,
        language: CodeLanguage | str | None = None,
        context_id: str | None = None,
        timeout: int | None = EXECUTE_SECONDS,
    ) -> ExecutionResult:
        """Run code for at most `timeout` seconds, in a context of its own when there is no current one.

        Code that fails is no error here: look at `error`, or call `raise_on_error()`.
        """
        answer = await self._api.execute_code_async(code, context_id or self._context_id, language, timeout)
        return ExecutionResult(answer)

    def execute(
        self,
        code: str,
        language: CodeLanguage | str | None = None,
        context_id: str | None = None,
        timeout: int | None = EXECUTE_SECONDS,
    ) -> ExecutionResult:
        """Run code for at most `timeout` seconds, in a context of its own when there is no current one.

        Code that fails is no error here: look at `error`, or call `raise_on_error()`.
        """
        return run(self.execute_async(code, language, context_id, timeout))

    async def delete_async(self, context_id: str | None = None) -> dict[str, Any]:
        """End a context, the current one by default."""
        chosen = self._chosen(context_id)
        answer = await self._api.delete_context_async(chosen)
        for holder in (self, self._sandbox.context):
            if holder._context_id == chosen:
                holder._context_id = None
        return answer

    def delete(self, context_id: str | None = None) -> dict[str, Any]:
        """End a context, the current one by default."""
        return run(self.delete_async(context_id))

    def _chosen(self, context_id: str | None) -> str:
        if chosen := context_id or self._context_id:
            return chosen
        raise InvalidInputError("there is no current context", field="context_id", hint="Create one, or give its id")

    def _bound(self, answer: dict[str, Any]) -> ContextOperations:
        if not answer.get("id"):
            raise InvalidResponseError(f"the answer is not a context: {answer!r:.200}")
        self._sandbox.context._context_id = str(answer["id"])
        return ContextOperations(self._sandbox, str(answer["id"]))

    async def __aenter__(self) -> ContextOperations:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context_id is None:
            return
        try:
            await self.delete_async()
        except AgentRunError:
            # The sandbox may be gone already; that never hides what went wrong inside.
            if error is None:
                raise

    def __enter__(self) -> ContextOperations:
        return run(self.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run(self.__aexit__(kind, error, trace))


class CodeInterpreterSandbox(Sandbox):
    """A sandbox that runs code: `context`, `file`, `file_system`, `process`."""

    type_of_template = TemplateType.CODE_INTERPRETER
    _context: ContextOperations | None = PrivateAttr(default=None)

    @property
    def data_api(self) -> CodeInterpreterDataAPI:
        """The calls that go to this sandbox."""
        return CodeInterpreterDataAPI(self.label, self._settings(None))

    @property
    def file(self) -> FileOperations:
        """Small files as a whole."""
        return FileOperations(self)

    @property
    def file_system(self) -> FileSystemOperations:
        """Folders, and files of any size on their way in and out."""
        return FileSystemOperations(self)

    @property
    def context(self) -> ContextOperations:
        """Contexts, and code that runs in them."""
        if self._context is None:
            self._context = ContextOperations(self)
        return self._context

    @property
    def process(self) -> ProcessOperations:
        """Shell commands and what runs."""
        return ProcessOperations(self)
