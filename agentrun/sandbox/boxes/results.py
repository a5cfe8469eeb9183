"""The results of a box's tools, in the shape of MCP's CallToolResult."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agentrun.errors import AgentRunError
from agentrun.sandbox.result import ExecutionResult, ProcessResult
from agentrun.sandbox.toolset.tool import error_result

Result = dict[str, Any]


def text(content: str, description: str | None = None) -> Result:
    """One piece of a result."""
    return {"type": "text", "text": content, "annotations": None, "description": description}


def result(content: Iterable[Mapping[str, Any]], *, is_error: bool = False) -> Result:
    """A whole result: `{"meta", "content", "isError"}`."""
    return {"meta": None, "content": [dict(piece) for piece in content], "isError": is_error}


def failure(error: AgentRunError) -> Result:
    """A call that failed, with what to do about it."""
    return result([text(error_result(error)["error"])], is_error=True)


def of_cell(execution: ExecutionResult) -> Result:
    """What a cell printed and showed; an error only when the code failed, whatever it wrote to stderr."""
    error = execution.error or {}
    shown = [output.text for output in execution.outputs if output.text]
    wrong = str(error.get("text") or error.get("value") or error.get("type") or "")
    return result(
        _printed(_joined(execution.stdout, *shown), _joined(execution.stderr, wrong)), is_error=bool(execution.error)
    )


def of_command(command: ProcessResult) -> Result:
    """What a command printed, and its exit code, which alone says whether it failed."""
    wrong = "the command took too long and was killed" if command.status == "timeout" else ""
    pieces = _printed(command.stdout, _joined(command.stderr, wrong))
    return result([*pieces, text(str(command.exit_code), "returncode")], is_error=bool(wrong) or command.exit_code != 0)


def of_mcp(answer: Mapping[str, Any]) -> Result:
    """The result of an MCP server's tool, with the fields that it left away."""
    pieces = [{"annotations": None, "description": None, **piece} for piece in answer.get("content") or ()]
    return {**result(pieces, is_error=bool(answer.get("isError"))), "meta": answer.get("_meta")}


def _printed(stdout: str, stderr: str) -> list[Result]:
    """Both streams; stdout is always there."""
    return [text(stdout, "stdout"), *([text(stderr, "stderr")] if stderr else [])]


def _joined(*parts: str) -> str:
    """The parts, each beginning a line."""
    whole = ""
    for part in filter(None, parts):
        whole += ("\n" if whole and not whole.endswith("\n") else "") + part
    return whole
