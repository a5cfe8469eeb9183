"""The tools that a code interpreter is offered as: names, arguments and defaults are those of the platform's own.

They are described here once, for who calls a sandbox by the SDK and for who serves one as an MCP server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrun._sandbox_tools.schema import Parameter, object_schema, optional, required

HOME = "/home/user"
CODE_SECONDS = 60
COMMAND_SECONDS = 30
PYTHON = "python"
# Names of the same tools from before, which stay for those who know them.
ALIASES = {"execute_code": "run_code", "list_directory": "file_system_list"}


@dataclass(frozen=True)
class ToolDescription:
    """What a model is told about a tool; `parameters` is the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


def _tool(name: str, description: str, *parameters: Parameter) -> ToolDescription:
    return ToolDescription(name, description, object_schema(*parameters))


_CODE = required("code", "string", "The code to run.")
_LANGUAGE = optional("language", "string", "Such as python, javascript or bash.", PYTHON)
_CODE_TIMEOUT = optional("timeout", "integer", "Seconds after which the code is stopped.", CODE_SECONDS)
_CONTEXT = required("context_id", "string", "The id that create_context gave.")
_FILE = required("path", "string", "The file's path, such as /home/user/notes.txt.")
_PATH = required("path", "string", "The path of a file or a folder.")
_FOLDER = optional("path", "string", "The folder's path.", "/")
_PID = required("pid", "string", "The process id, which process_list shows.")

CODE_INTERPRETER = (
    _tool("health", "Tell whether the sandbox can be used: its status is then ok."),
    _tool(
        "run_code",
        "Run code and return what it printed, the value of its last line and the error that ended it, if any. Each "
        "call starts afresh unless context_id names a context, which keeps variables from call to call.",
        _CODE,
        _LANGUAGE,
        _CODE_TIMEOUT,
        optional("context_id", "string", "The context to run in, which create_context gave."),
    ),
    _tool("execute_code", "Run code afresh; the same as run_code.", _CODE, _LANGUAGE, _CODE_TIMEOUT),
    _tool("list_contexts", "List the contexts there are, with their languages and folders."),
    _tool(
        "create_context",
        "Start a context, which keeps variables and imports from one run_code to the next; returns its context_id.",
        _LANGUAGE,
        optional("cwd", "string", "The folder in which its code runs.", HOME),
    ),
    _tool("get_context", "Tell the language and the folder of a context.", _CONTEXT),
    _tool("delete_context", "End a context; its variables are lost.", _CONTEXT),
    _tool(
        "read_file",
        "Read a file. The content is text, or Base64 where encoding says so, because it is not UTF-8.",
        _FILE,
    ),
    _tool(
        "write_file",
        "Write a file, replacing what was there; folders on the way are made.",
        _FILE,
        required("content", "string", "The whole content."),
        optional("mode", "string", "The permissions as octal digits.", "644"),
        optional("encoding", "string", "utf-8 for text, base64 for other bytes.", "utf-8"),
    ),
    _tool(
        "file_system_list",
        "List a folder: name, type, size, permissions and time of each entry.",
        _FOLDER,
        optional("depth", "integer", "How many levels of folders to list; without it one."),
    ),
    _tool("list_directory", "List a folder; the same as file_system_list.", _FOLDER),
    _tool("file_system_stat", "Tell type, size, permissions, owner and time of one path.", _PATH),
    _tool(
        "file_system_mkdir",
        "Make a folder; one that is there already is fine.",
        required("path", "string", "The folder's path."),
        optional("parents", "boolean", "Whether to make missing folders on the way.", True),
        optional("mode", "string", "The permissions as octal digits.", "0755"),
    ),
    _tool(
        "file_system_move",
        "Move or rename a file or a folder.",
        required("source", "string", "The path it has."),
        required("destination", "string", "The path it is to have, or a folder to move it into."),
    ),
    _tool("file_system_remove", "Remove a file, or a folder with all that is in it.", _PATH),
    _tool(
        "process_exec_cmd",
        "Run a shell command and return its output and its exit code. Good for programs, packages and scripts.",
        required("command", "string", "The command line."),
        optional("cwd", "string", "The folder in which it runs.", HOME),
        optional("timeout", "integer", "Seconds after which it is killed.", COMMAND_SECONDS),
    ),
    _tool("process_list", "List the processes that run, with their ids and commands."),
    _tool("process_stat", "Tell state, command and resources of one process.", _PID),
    _tool("process_kill", "Kill a process that hangs or is not needed any more.", _PID),
)
