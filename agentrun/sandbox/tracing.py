"""The span of code or of a command in a sandbox; neither it nor what it printed is in the span."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from agentrun._core.tracing import Span, begin, span
from agentrun.sandbox.events import ErrorEvent
from agentrun.sandbox.result import ExecutionResult, ProcessResult

_CODE = "execute_code"
_COMMAND = "execute_command"


def code_span(sandbox_id: str | None, body: dict[str, Any]) -> AbstractContextManager[Span]:
    """The span of an execution that is waited for, by what is sent for it."""
    return span(_name(body), _attributes(sandbox_id, body), "CLIENT")


def begin_code(sandbox_id: str | None, body: dict[str, Any]) -> Span:
    """The span of an execution whose events are read one by one."""
    return begin(_name(body), _attributes(sandbox_id, body), "CLIENT")


def command_span(sandbox_id: str | None) -> AbstractContextManager[Span]:
    """The span of a command that is waited for."""
    return span(_COMMAND, {"agentrun.sandbox.id": sandbox_id}, "CLIENT")


def _name(body: dict[str, Any]) -> str:
    language = body.get("language")
    return f"{_CODE} {language}" if language else _CODE


def _attributes(sandbox_id: str | None, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "agentrun.sandbox.id": sandbox_id,
        "agentrun.sandbox.context_id": body.get("contextId"),
        "agentrun.sandbox.language": body.get("language"),
    }


def tell_result(found: Span, answer: dict[str, Any]) -> None:
    """Say whether code failed."""
    error = ExecutionResult(answer).error if found.is_recording else None
    if error is not None:
        found.fail(str(error.get("name") or error["type"]))


def tell_event(found: Span, event: object) -> None:
    """Say whether code failed, by one of its events."""
    if isinstance(event, ErrorEvent):
        found.fail(event.name or event.type)


def tell_exit(found: Span, answer: dict[str, Any]) -> None:
    """Say how a command ended."""
    code = ProcessResult(answer).exit_code if found.is_recording else None
    found.set({"process.exit.code": code})
    if code:
        found.fail(f"exit {code}")
