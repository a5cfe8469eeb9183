"""Files between a folder of this machine and an agent's sandbox, as tools; nothing outside of the folder is touched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agentrun._sandbox_tools.schema import Parameter, checked, object_schema, required
from agentrun.errors import InvalidInputError
from agentrun.integration._tool import Tool
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox

_LOCAL = required("local_artifact_path", "string", "A relative path in the folder of artifacts.")
_INSIDE = required("sandbox_path", "string", "A path in the sandbox.")


def artifact_tools(folder: str, sandbox: Callable[[], Awaitable[CodeInterpreterSandbox]]) -> list[Tool]:
    """The tools that carry files between a folder and the sandbox of whoever calls; the folder is made."""
    root = Path(folder).expanduser().resolve()
    root.mkdir(parents=True, exist_ok=True)

    async def upload(local_artifact_path: str, sandbox_path: str) -> dict[str, Any]:
        source = _within(root, local_artifact_path)
        if not source.is_file():
            raise InvalidInputError(f"there is no artifact {local_artifact_path!r}", field="local_artifact_path")
        return await (await sandbox()).file_system.upload_async(source, sandbox_path)

    async def download(sandbox_path: str, local_artifact_path: str) -> dict[str, Any]:
        target = _within(root, local_artifact_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        await (await sandbox()).file_system.download_async(sandbox_path, target)
        return {"local_artifact_path": str(target.relative_to(root)), "size": target.stat().st_size}

    return [
        _tool("upload_file", "Copy a file from the folder of artifacts into the sandbox.", upload, _LOCAL, _INSIDE),
        _tool("download_file", "Copy a file of the sandbox into the folder of artifacts.", download, _INSIDE, _LOCAL),
    ]


def _tool(name: str, description: str, act: Callable[..., Awaitable[Any]], *parameters: Parameter) -> Tool:
    schema = object_schema(*parameters)

    async def perform(arguments: dict[str, Any]) -> Any:
        return await act(**checked(name, schema, arguments))

    return Tool(name, description, schema, perform=perform)


def _within(root: Path, path: str) -> Path:
    """A path below the folder, links followed; raises InvalidInputError when it leads elsewhere."""
    found = (root / path).resolve()
    if found == root or not found.is_relative_to(root):
        raise InvalidInputError(
            f"{path!r} is not in the folder of artifacts",
            field="local_artifact_path",
            hint="Give a relative path, such as results/plot.png",
        )
    return found
