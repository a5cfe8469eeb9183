"""What sandboxes answer: their life, and in a code interpreter its contexts, files and processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentrun._core.api import parsed, segment
from agentrun._core.blocking import run
from agentrun._sandbox_tools.definitions import HOME
from agentrun.config import Config
from agentrun.errors import HTTPError
from agentrun.sandbox.calls import SandboxCalls, checked_fields, terminated, wait_of
from agentrun.sandbox.model import CodeLanguage
from agentrun.sandbox.tracing import code_span, command_span, tell_exit, tell_result
from agentrun.sandbox.transfer import Download, Upload

EXECUTE_SECONDS = 30


class SandboxDataAPI(SandboxCalls):
    """Sandboxes, or with `sandbox_id` one of them."""

    def __init__(
        self, *, sandbox_id: str | None = None, template_name: str | None = None, config: Config | None = None
    ) -> None:
        super().__init__(sandbox_id, config)
        self.template_name = template_name

    async def check_health_async(self) -> dict[str, Any]:
        """How the sandbox is: `{"status": "ok", ...}` when it can be used."""
        return await self.ask("GET", "/health")

    def check_health(self) -> dict[str, Any]:
        """How the sandbox is: `{"status": "ok", ...}` when it can be used."""
        return run(self.check_health_async())

    async def create_sandbox_async(
        self,
        template_name: str,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: Mapping[str, Any] | None = None,
        oss_mount_config: Mapping[str, Any] | None = None,
        polar_fs_config: Mapping[str, Any] | None = None,
        config: Config | None = None,
        *,
        extras: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Create a sandbox; the mounts, and `extras` for the local platform alone, are in the wire's names."""
        fields = {
            "templateName": template_name,
            "sandboxIdleTimeoutSeconds": sandbox_idle_timeout_seconds,
            "sandboxId": sandbox_id,
            "nasConfig": nas_config,
            "ossMountConfig": oss_mount_config,
            "polarFsConfig": polar_fs_config,
            **(extras or {}),
        }
        body = {name: value for name, value in fields.items() if value is not None}
        try:
            return await self._call_enveloped("POST", "", body=body, config=config)
        except HTTPError as error:
            # What can be missing here is the template, what can exist already is the sandbox.
            missing = error.status_code == 404
            raise error.to_resource_error(
                *("Template", template_name) if missing else (self.kind, sandbox_id)
            ) from error

    def create_sandbox(
        self,
        template_name: str,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: Mapping[str, Any] | None = None,
        oss_mount_config: Mapping[str, Any] | None = None,
        polar_fs_config: Mapping[str, Any] | None = None,
        config: Config | None = None,
        *,
        extras: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Create a sandbox; the mounts, and `extras` for the local platform alone, are in the wire's names."""
        return run(
            self.create_sandbox_async(
                template_name,
                sandbox_idle_timeout_seconds,
                sandbox_id,
                nas_config,
                oss_mount_config,
                polar_fs_config,
                config,
                extras=extras,
            )
        )

    async def delete_sandbox_async(self, sandbox_id: str, config: Config | None = None) -> dict[str, Any]:
        """Delete a sandbox; answers what it was."""
        return await self._life("DELETE", sandbox_id, "", config)

    def delete_sandbox(self, sandbox_id: str, config: Config | None = None) -> dict[str, Any]:
        """Delete a sandbox; answers what it was."""
        return run(self.delete_sandbox_async(sandbox_id, config))

    async def stop_sandbox_async(self, sandbox_id: str, config: Config | None = None) -> dict[str, Any]:
        """Stop a sandbox."""
        return await self._life("POST", sandbox_id, "/stop", config)

    def stop_sandbox(self, sandbox_id: str, config: Config | None = None) -> dict[str, Any]:
        """Stop a sandbox."""
        return run(self.stop_sandbox_async(sandbox_id, config))

    async def get_sandbox_async(self, sandbox_id: str, config: Config | None = None) -> dict[str, Any]:
        """Read a sandbox."""
        return await self._life("GET", sandbox_id, "", config)

    def get_sandbox(self, sandbox_id: str, config: Config | None = None) -> dict[str, Any]:
        """Read a sandbox."""
        return run(self.get_sandbox_async(sandbox_id, config))

    async def _life(self, method: str, sandbox_id: str, path: str, config: Config | None) -> dict[str, Any]:
        try:
            return await self._call_enveloped(method, f"/{segment(sandbox_id)}{path}", config=config)
        except HTTPError as error:
            raise (
                terminated(error) if error.status_code == 410 else error.to_resource_error(self.kind, sandbox_id)
            ) from error


def _language(language: CodeLanguage | str) -> str:
    return language.value if isinstance(language, CodeLanguage) else language


def execution(
    code: str, context_id: str | None, language: CodeLanguage | str | None, timeout: float | None
) -> dict[str, Any]:
    """What is sent to run code: a language only where the context does not say it already."""
    fields = {"code": code, "timeout": timeout, "contextId": context_id}
    body = {name: value for name, value in fields.items() if value is not None}
    if language or not context_id:
        body["language"] = _language(language or CodeLanguage.PYTHON)
    return body


class CodeInterpreterDataAPI(SandboxDataAPI):
    """The contexts, files and processes of one code interpreter; answers are the service's own."""

    def __init__(self, sandbox_id: str, config: Config | None = None) -> None:
        super().__init__(sandbox_id=sandbox_id, config=config)

    # Contexts

    async def list_contexts_async(self) -> list[dict[str, Any]]:
        """All contexts."""
        contexts: list[dict[str, Any]] = await self.ask_any("GET", "/contexts")
        return contexts

    def list_contexts(self) -> list[dict[str, Any]]:
        """All contexts."""
        return run(self.list_contexts_async())

    async def create_context_async(
        self, language: CodeLanguage | str | None = CodeLanguage.PYTHON, cwd: str = HOME
    ) -> dict[str, Any]:
        """Start a context, which keeps variables from one execution to the next."""
        body = {"cwd": cwd, "language": _language(language or CodeLanguage.PYTHON)}
        return await self.ask("POST", "/contexts", body=body)

    def create_context(
        self, language: CodeLanguage | str | None = CodeLanguage.PYTHON, cwd: str = HOME
    ) -> dict[str, Any]:
        """Start a context, which keeps variables from one execution to the next."""
        return run(self.create_context_async(language, cwd))

    async def get_context_async(self, context_id: str) -> dict[str, Any]:
        """Read a context."""
        return await self.ask("GET", f"/contexts/{segment(context_id)}")

    def get_context(self, context_id: str) -> dict[str, Any]:
        """Read a context."""
        return run(self.get_context_async(context_id))

    async def execute_code_async(
        self,
        code: str,
        context_id: str | None,
        language: CodeLanguage | str | None = None,
        timeout: int | None = EXECUTE_SECONDS,
    ) -> dict[str, Any]:
        """Run code for at most `timeout` seconds; without a context it runs in one of its own."""
        body = execution(code, context_id, language, timeout)
        with code_span(self.sandbox_id, body) as span:
            answer = await self.ask("POST", "/contexts/execute", body=body, timeout=wait_of(timeout))
            tell_result(span, answer)
        return answer

    def execute_code(
        self,
        code: str,
        context_id: str | None,
        language: CodeLanguage | str | None = None,
        timeout: int | None = EXECUTE_SECONDS,
    ) -> dict[str, Any]:
        """Run code for at most `timeout` seconds; without a context it runs in one of its own."""
        return run(self.execute_code_async(code, context_id, language, timeout))

    async def delete_context_async(self, context_id: str) -> dict[str, Any]:
        """End a context."""
        return await self.ask("DELETE", f"/contexts/{segment(context_id)}")

    def delete_context(self, context_id: str) -> dict[str, Any]:
        """End a context."""
        return run(self.delete_context_async(context_id))

    # Files

    async def read_file_async(self, path: str) -> dict[str, Any]:
        """A file: `content` is text, or Base64 when `encoding` says so; `size` is bytes."""
        return await self.ask("GET", "/files", query={"path": path})

    def read_file(self, path: str) -> dict[str, Any]:
        """A file: `content` is text, or Base64 when `encoding` says so; `size` is bytes."""
        return run(self.read_file_async(path))

    async def write_file_async(
        self,
        path: str,
        content: str,
        mode: str | None = "644",
        encoding: str | None = "utf-8",
        create_dir: bool | None = True,
    ) -> dict[str, Any]:
        """Write a file; with the encoding `base64` the content is bytes."""
        body = {"path": path, "content": content, "mode": mode, "encoding": encoding, "createDir": create_dir}
        return await self.ask("POST", "/files", body=body)

    def write_file(
        self,
        path: str,
        content: str,
        mode: str | None = "644",
        encoding: str | None = "utf-8",
        create_dir: bool | None = True,
    ) -> dict[str, Any]:
        """Write a file; with the encoding `base64` the content is bytes."""
        return run(self.write_file_async(path, content, mode, encoding, create_dir))

    async def list_directory_async(self, path: str | None = None, depth: int | None = None) -> dict[str, Any]:
        """The entries of a folder, down to `depth`."""
        return await self.ask("GET", "/filesystem", query={"path": path, "depth": depth})

    def list_directory(self, path: str | None = None, depth: int | None = None) -> dict[str, Any]:
        """The entries of a folder, down to `depth`."""
        return run(self.list_directory_async(path, depth))

    async def stat_async(self, path: str) -> dict[str, Any]:
        """What a path is: type, size in bytes, mode, owner, time."""
        return await self.ask("GET", "/filesystem/stat", query={"path": path})

    def stat(self, path: str) -> dict[str, Any]:
        """What a path is: type, size in bytes, mode, owner, time."""
        return run(self.stat_async(path))

    async def mkdir_async(self, path: str, parents: bool | None = True, mode: str | None = "0755") -> dict[str, Any]:
        """Make a folder; one that is there already is no error."""
        return await self.ask("POST", "/filesystem/mkdir", body={"path": path, "parents": parents, "mode": mode})

    def mkdir(self, path: str, parents: bool | None = True, mode: str | None = "0755") -> dict[str, Any]:
        """Make a folder; one that is there already is no error."""
        return run(self.mkdir_async(path, parents, mode))

    async def move_file_async(self, source: str, destination: str) -> dict[str, Any]:
        """Move a file or a folder."""
        return await self.ask("POST", "/filesystem/move", body={"source": source, "destination": destination})

    def move_file(self, source: str, destination: str) -> dict[str, Any]:
        """Move a file or a folder."""
        return run(self.move_file_async(source, destination))

    async def remove_file_async(self, path: str) -> dict[str, Any]:
        """Remove a file or a folder with what is in it; one that is not there is no error."""
        return await self.ask("POST", "/filesystem/remove", body={"path": path})

    def remove_file(self, path: str) -> dict[str, Any]:
        """Remove a file or a folder with what is in it; one that is not there is no error."""
        return run(self.remove_file_async(path))

    async def upload_file_async(self, local_file_path: str | os.PathLike[str], target_file_path: str) -> dict[str, Any]:
        """Send a local file, however large; raises InvalidInputError when it is not there."""
        form = Upload(Path(local_file_path), target_file_path)
        answer = await self.open("POST", "/filesystem/upload", content=form, headers=form.headers)
        return checked_fields(parsed(await answer.read()))

    def upload_file(self, local_file_path: str | os.PathLike[str], target_file_path: str) -> dict[str, Any]:
        """Send a local file, however large; raises InvalidInputError when it is not there."""
        return run(self.upload_file_async(local_file_path, target_file_path))

    async def download_file_async(self, path: str, save_path: str | os.PathLike[str]) -> dict[str, Any]:
        """Fetch a file, however large: `{"saved_path": ..., "size": bytes}`."""
        target = Download(save_path)
        body = await self.open("GET", "/filesystem/download", query={"path": path})
        return {"saved_path": os.fspath(save_path), "size": await target.write(body)}

    def download_file(self, path: str, save_path: str | os.PathLike[str]) -> dict[str, Any]:
        """Fetch a file, however large: `{"saved_path": ..., "size": bytes}`."""
        return run(self.download_file_async(path, save_path))

    # Processes

    async def cmd_async(self, command: str, cwd: str = HOME, timeout: int | None = EXECUTE_SECONDS) -> dict[str, Any]:
        """Run a shell command for at most `timeout` seconds: `result` holds `exitCode`, `stdout` and `stderr`."""
        body = {"command": command, "cwd": cwd, "timeout": timeout}
        given = {name: value for name, value in body.items() if value is not None}
        with command_span(self.sandbox_id) as span:
            answer = await self.ask("POST", "/processes/cmd", body=given, timeout=wait_of(timeout))
            tell_exit(span, answer)
        return answer

    def cmd(self, command: str, cwd: str = HOME, timeout: int | None = EXECUTE_SECONDS) -> dict[str, Any]:
        """Run a shell command for at most `timeout` seconds: `result` holds `exitCode`, `stdout` and `stderr`."""
        return run(self.cmd_async(command, cwd, timeout))

    async def list_processes_async(self) -> dict[str, Any]:
        """All processes, under `items`."""
        return await self.ask("GET", "/processes")

    def list_processes(self) -> dict[str, Any]:
        """All processes, under `items`."""
        return run(self.list_processes_async())

    async def get_process_async(self, pid: str) -> dict[str, Any]:
        """Read a process."""
        return await self.ask("GET", f"/processes/{segment(str(pid))}")

    def get_process(self, pid: str) -> dict[str, Any]:
        """Read a process."""
        return run(self.get_process_async(pid))

    async def kill_process_async(self, pid: str) -> dict[str, Any]:
        """Kill a process."""
        return await self.ask("DELETE", f"/processes/{segment(str(pid))}")

    def kill_process(self, pid: str) -> dict[str, Any]:
        """Kill a process."""
        return run(self.kill_process_async(pid))
