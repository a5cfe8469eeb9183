"""How each tool of a code interpreter is asked of a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from agentrun._sandbox_tools import answers
from agentrun._sandbox_tools.definitions import CODE_SECONDS, COMMAND_SECONDS, HOME, PYTHON

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """A request to the inside of a sandbox, and what the tool makes of its answer."""

    method: str
    path: str
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    result: Callable[[Any], dict[str, Any]] = dict


def call_of(tool: str, arguments: Arguments) -> Call:
    """The request of a tool that is there, with arguments that fit it."""
    return _CALLS[tool](arguments)


def _run_code(given: Arguments) -> Call:
    context = given.get("context_id")
    # A context says its language itself.
    language = given.get("language") if context else given.get("language") or PYTHON
    body = {
        "code": given["code"],
        "timeout": given.get("timeout", CODE_SECONDS),
        "language": language,
        "contextId": context,
    }
    kept = {name: value for name, value in body.items() if value is not None}
    return Call("POST", "/contexts/execute", body=kept, result=answers.execution)


def _create_context(given: Arguments) -> Call:
    body = {"language": given.get("language", PYTHON), "cwd": given.get("cwd", HOME)}
    return Call("POST", "/contexts", body=body, result=answers.context)


def _write_file(given: Arguments) -> Call:
    defaults = {"mode": "644", "encoding": "utf-8", "createDir": True}
    return Call("POST", "/files", body={**defaults, **given})


def _make_folder(given: Arguments) -> Call:
    body = {"parents": True, "mode": "0755", **given}
    return _done("POST", "/filesystem/mkdir", body, {"path": given["path"]})


def _run_command(given: Arguments) -> Call:
    body = {"cwd": HOME, "timeout": COMMAND_SECONDS, **given}
    return Call("POST", "/processes/cmd", body=body, result=answers.command)


def _list_folder(given: Arguments) -> Call:
    return Call("GET", "/filesystem", {"path": given.get("path", "/"), "depth": given.get("depth")})


def _done(method: str, path: str, body: Arguments | None, about: Arguments) -> Call:
    return Call(method, path, body=body, result=lambda _: answers.done(**about))


def _segment(given: Arguments, name: str) -> str:
    return quote(str(given[name]), safe="")


_CALLS: Mapping[str, Callable[[Arguments], Call]] = {
    "health": lambda given: Call("GET", "/health"),
    "run_code": _run_code,
    "execute_code": _run_code,
    "list_contexts": lambda given: Call("GET", "/contexts", result=answers.contexts),
    "create_context": _create_context,
    "get_context": lambda given: Call("GET", f"/contexts/{_segment(given, 'context_id')}", result=answers.context),
    "delete_context": lambda given: _done("DELETE", f"/contexts/{_segment(given, 'context_id')}", None, given),
    "read_file": lambda given: Call("GET", "/files", {"path": given["path"]}),
    "write_file": _write_file,
    "file_system_list": _list_folder,
    "list_directory": _list_folder,
    "file_system_stat": lambda given: Call("GET", "/filesystem/stat", {"path": given["path"]}),
    "file_system_mkdir": _make_folder,
    "file_system_move": lambda given: _done("POST", "/filesystem/move", given, given),
    "file_system_remove": lambda given: _done("POST", "/filesystem/remove", given, given),
    "process_exec_cmd": _run_command,
    "process_list": lambda given: Call("GET", "/processes"),
    "process_stat": lambda given: Call("GET", f"/processes/{_segment(given, 'pid')}"),
    "process_kill": lambda given: Call("DELETE", f"/processes/{_segment(given, 'pid')}"),
}
