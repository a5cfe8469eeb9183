"""The tools of a code interpreter: names, arguments and defaults are those of the platform's own tool set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentrun.sandbox.data import HOME
from agentrun.sandbox.result import ExecutionResult, ProcessResult
from agentrun.sandbox.toolset.schema import Parameter, object_schema, optional, required

if TYPE_CHECKING:
    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox

CODE_SECONDS = 60
COMMAND_SECONDS = 30
PYTHON = "python"
# Code has no exit code of its own; these are the ones that Python and timeout(1) end with.
FAILED, TIMED_OUT = 1, 124

Result = dict[str, Any]


@dataclass(frozen=True)
class ToolDefinition:
    """A tool before it belongs to a sandbox: `run` gets the sandbox, and the arguments as keywords."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[..., Awaitable[Result]]


def _tool(name: str, run: Callable[..., Awaitable[Result]], description: str, *parameters: Parameter) -> ToolDefinition:
    return ToolDefinition(name, description, object_schema(*parameters), run)


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
    return _execution(ExecutionResult(answer))


def _execution(result: ExecutionResult) -> Result:
    error = result.error or {}
    timed_out = error.get("type") == "timeout"
    return {
        "stdout": result.stdout,
        "stderr": result.stderr,
        "exit_code": TIMED_OUT if timed_out else FAILED if error else 0,
        "result": result.text,
        "displayed": [output.text for output in result.outputs if output.display],
        "error": _error_text(error) if error else None,
        "traceback": None if timed_out else error.get("text"),
        "context_id": result.get("contextId"),
    }


def _error_text(error: Mapping[str, Any]) -> str:
    """What ended the code, in a line: `ValueError: too small`."""
    if not error.get("name"):
        return str(error.get("text") or error.get("value") or error["type"])
    return f"{error['name']}: {error.get('value') or ''}"


async def list_contexts(sandbox: CodeInterpreterSandbox) -> Result:
    """All contexts."""
    return {"contexts": [_context(found) for found in await sandbox.data_api.list_contexts_async()]}


async def create_context(sandbox: CodeInterpreterSandbox, language: str = PYTHON, cwd: str = HOME) -> Result:
    """Start a context."""
    return _context(await sandbox.data_api.create_context_async(language, cwd))


async def get_context(sandbox: CodeInterpreterSandbox, context_id: str) -> Result:
    """Read a context."""
    return _context(await sandbox.data_api.get_context_async(context_id))


async def delete_context(sandbox: CodeInterpreterSandbox, context_id: str) -> Result:
    """End a context."""
    await sandbox.data_api.delete_context_async(context_id)
    return {"success": True, "context_id": context_id}


def _context(answer: Mapping[str, Any]) -> Result:
    return {"context_id": answer.get("id"), "language": answer.get("language"), "cwd": answer.get("cwd")}


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
    return {"success": True, "path": path}


async def file_system_move(sandbox: CodeInterpreterSandbox, source: str, destination: str) -> Result:
    """Move a file or a folder."""
    await sandbox.file_system.move_async(source, destination)
    return {"success": True, "source": source, "destination": destination}


async def file_system_remove(sandbox: CodeInterpreterSandbox, path: str) -> Result:
    """Remove a file or a folder."""
    await sandbox.file_system.remove_async(path)
    return {"success": True, "path": path}


# Processes


async def process_exec_cmd(
    sandbox: CodeInterpreterSandbox, command: str, cwd: str = HOME, timeout: int = COMMAND_SECONDS
) -> Result:
    """Run a shell command."""
    result: ProcessResult = await sandbox.process.cmd_async(command, cwd, timeout)
    printed = {"stdout": result.stdout, "stderr": result.stderr}
    return {**printed, "exit_code": result.exit_code, "status": result.status}


async def process_list(sandbox: CodeInterpreterSandbox) -> Result:
    """List what runs."""
    return await sandbox.process.list_async()


async def process_stat(sandbox: CodeInterpreterSandbox, pid: str) -> Result:
    """Describe a process."""
    return await sandbox.process.get_async(pid)


async def process_kill(sandbox: CodeInterpreterSandbox, pid: str) -> Result:
    """Kill a process."""
    return await sandbox.process.kill_async(pid)


_CODE = required("code", "string", "The code to run.")
_LANGUAGE = optional("language", "string", "Such as python, javascript or bash.", PYTHON)
_CODE_TIMEOUT = optional("timeout", "integer", "Seconds after which the code is stopped.", CODE_SECONDS)
_CONTEXT = required("context_id", "string", "The id that create_context gave.")
_FILE = required("path", "string", "The file's path, such as /home/user/notes.txt.")
_PATH = required("path", "string", "The path of a file or a folder.")
_FOLDER = optional("path", "string", "The folder's path.", "/")
_PID = required("pid", "string", "The process id, which process_list shows.")

TOOLS = (
    _tool("health", health, "Tell whether the sandbox can be used: its status is then ok."),
    _tool(
        "run_code",
        run_code,
        "Run code and return what it printed, the value of its last line and the error that ended it, if any. Each "
        "call starts afresh unless context_id names a context, which keeps variables from call to call.",
        _CODE,
        _LANGUAGE,
        _CODE_TIMEOUT,
        optional("context_id", "string", "The context to run in, which create_context gave."),
    ),
    _tool("execute_code", run_code, "Run code afresh; the same as run_code.", _CODE, _LANGUAGE, _CODE_TIMEOUT),
    _tool("list_contexts", list_contexts, "List the contexts there are, with their languages and folders."),
    _tool(
        "create_context",
        create_context,
        "Start a context, which keeps variables and imports from one run_code to the next; returns its context_id.",
        _LANGUAGE,
        optional("cwd", "string", "The folder in which its code runs.", HOME),
    ),
    _tool("get_context", get_context, "Tell the language and the folder of a context.", _CONTEXT),
    _tool("delete_context", delete_context, "End a context; its variables are lost.", _CONTEXT),
    _tool(
        "read_file",
        read_file,
        "Read a file. The content is text, or Base64 where encoding says so, because it is not UTF-8.",
        _FILE,
    ),
    _tool(
        "write_file",
        write_file,
        "Write a file, replacing what was there; folders on the way are made.",
        _FILE,
        required("content", "string", "The whole content."),
        optional("mode", "string", "The permissions as octal digits.", "644"),
        optional("encoding", "string", "utf-8 for text, base64 for other bytes.", "utf-8"),
    ),
    _tool(
        "file_system_list",
        file_system_list,
        "List a folder: name, type, size, permissions and time of each entry.",
        _FOLDER,
        optional("depth", "integer", "How many levels of folders to list; without it one."),
    ),
    _tool("list_directory", file_system_list, "List a folder; the same as file_system_list.", _FOLDER),
    _tool("file_system_stat", file_system_stat, "Tell type, size, permissions, owner and time of one path.", _PATH),
    _tool(
        "file_system_mkdir",
        file_system_mkdir,
        "Make a folder; one that is there already is fine.",
        required("path", "string", "The folder's path."),
        optional("parents", "boolean", "Whether to make missing folders on the way.", True),
        optional("mode", "string", "The permissions as octal digits.", "0755"),
    ),
    _tool(
        "file_system_move",
        file_system_move,
        "Move or rename a file or a folder.",
        required("source", "string", "The path it has."),
        required("destination", "string", "The path it is to have, or a folder to move it into."),
    ),
    _tool("file_system_remove", file_system_remove, "Remove a file, or a folder with all that is in it.", _PATH),
    _tool(
        "process_exec_cmd",
        process_exec_cmd,
        "Run a shell command and return its output and its exit code. Good for programs, packages and scripts.",
        required("command", "string", "The command line."),
        optional("cwd", "string", "The folder in which it runs.", HOME),
        optional("timeout", "integer", "Seconds after which it is killed.", COMMAND_SECONDS),
    ),
    _tool("process_list", process_list, "List the processes that run, with their ids and commands."),
    _tool("process_stat", process_stat, "Tell state, command and resources of one process.", _PID),
    _tool("process_kill", process_kill, "Kill a process that hangs or is not needed any more.", _PID),
)
