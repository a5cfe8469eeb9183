"""What the tools of a code interpreter do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentrun._sandbox_tools import answers
from agentrun._sandbox_tools.definitions import CODE_INTERPRETER, CODE_SECONDS, COMMAND_SECONDS, HOME, PYTHON

if TYPE_CHECKING:
    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox

Result = answers.Result


@dataclass(frozen=True)
class ToolDefinition:
    """A tool before it belongs to a sandbox: `run` gets the sandbox, and the arguments as keywords."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[..., Awaitable[Result]]


async def health(sandbox: CodeInterpreterSandbox) -> Result:
    """How the sandbox is."""
    return await sandbox.check_health_async()


# Code


async def run_code(
    sandbox: CodeInterpreterSandbox,
    code: str,
    language: str | None = None,
    timeout: int = CODE_SECONDS,
    context_id: str | None = None,
) -> Result:
    """Run code, in a context or on its own; a context says its language itself."""
    chosen = language if context_id else language or PYTHON
    answer = await sandbox.data_api.execute_code_async(code, context_id, chosen, timeout)
    return answers.execution(answer)


async def list_contexts(sandbox: CodeInterpreterSandbox) -> Result:
    """All contexts."""
    return answers.contexts(await sandbox.data_api.list_contexts_async())


async def create_context(sandbox: CodeInterpreterSandbox, language: str = PYTHON, cwd: str = HOME) -> Result:
    """Start a context."""
    return answers.context(await sandbox.data_api.create_context_async(language, cwd))


async def get_context(sandbox: CodeInterpreterSandbox, context_id: str) -> Result:
    """Read a context."""
    return answers.context(await sandbox.data_api.get_context_async(context_id))


async def delete_context(sandbox: CodeInterpreterSandbox, context_id: str) -> Result:
    """End a context."""
    await sandbox.data_api.delete_context_async(context_id)
    return answers.done(context_id=context_id)


# Files


async def read_file(sandbox: CodeInterpreterSandbox, path: str) -> Result:
    """Read a file."""
    return await sandbox.file.read_async(path)


async def write_file(
    sandbox: CodeInterpreterSandbox, path: str, content: str, mode: str = "644", encoding: str = "utf-8"
) -> Result:
    """Write a file and the folders that lead to it."""
    return await sandbox.file.write_async(path, content, mode, encoding)


async def file_system_list(sandbox: CodeInterpreterSandbox, path: str = "/", depth: int | None = None) -> Result:
    """List a folder."""
    return await sandbox.file_system.list_async(path, depth)


async def file_system_stat(sandbox: CodeInterpreterSandbox, path: str) -> Result:
    """Describe a file or a folder."""
    return await sandbox.file_system.stat_async(path)


async def file_system_mkdir(
    sandbox: CodeInterpreterSandbox, path: str, parents: bool = True, mode: str = "0755"
) -> Result:
    """Make a folder."""
    await sandbox.file_system.mkdir_async(path, parents, mode)
    return answers.done(path=path)


async def file_system_move(sandbox: CodeInterpreterSandbox, source: str, destination: str) -> Result:
    """Move a file or a folder."""
    await sandbox.file_system.move_async(source, destination)
    return answers.done(source=source, destination=destination)


async def file_system_remove(sandbox: CodeInterpreterSandbox, path: str) -> Result:
    """Remove a file or a folder."""
    await sandbox.file_system.remove_async(path)
    return answers.done(path=path)


# Processes


async def process_exec_cmd(
    sandbox: CodeInterpreterSandbox, command: str, cwd: str = HOME, timeout: int = COMMAND_SECONDS
) -> Result:
    """Run a shell command."""
    return answers.command(await sandbox.process.cmd_async(command, cwd, timeout))


async def process_list(sandbox: CodeInterpreterSandbox) -> Result:
    """List what runs."""
    return await sandbox.process.list_async()


async def process_stat(sandbox: CodeInterpreterSandbox, pid: str) -> Result:
    """Describe a process."""
    return await sandbox.process.get_async(pid)


async def process_kill(sandbox: CodeInterpreterSandbox, pid: str) -> Result:
    """Kill a process."""
    return await sandbox.process.kill_async(pid)


_RUN: Mapping[str, Callable[..., Awaitable[Result]]] = {
    "health": health,
    "run_code": run_code,
    "execute_code": run_code,
    "list_contexts": list_contexts,
    "create_context": create_context,
    "get_context": get_context,
    "delete_context": delete_context,
    "read_file": read_file,
    "write_file": write_file,
    "file_system_list": file_system_list,
    "list_directory": file_system_list,
    "file_system_stat": file_system_stat,
    "file_system_mkdir": file_system_mkdir,
    "file_system_move": file_system_move,
    "file_system_remove": file_system_remove,
    "process_exec_cmd": process_exec_cmd,
    "process_list": process_list,
    "process_stat": process_stat,
    "process_kill": process_kill,
}
TOOLS = tuple(
    ToolDefinition(tool.name, tool.description, tool.parameters, _RUN[tool.name]) for tool in CODE_INTERPRETER
)
