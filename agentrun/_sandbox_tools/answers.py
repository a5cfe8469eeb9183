"""What the tools of a code interpreter give, out of what a sandbox answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# Code has no exit code of its own; these are the ones that Python and timeout(1) end with.
FAILED, TIMED_OUT = 1, 124

Result = dict[str, Any]


def execution(answer: Mapping[str, Any]) -> Result:
    """What running code gave."""
    entries: list[Mapping[str, Any]] = answer.get("results") or []
    values = [entry for entry in entries if entry.get("type") == "result"]
    error = next((entry for entry in entries if entry.get("type") in ("error", "timeout")), None)
    timed_out = error is not None and error["type"] == "timeout"
    return {
        "stdout": _texts(entries, "stdout"),
        "stderr": _texts(entries, "stderr"),
        "exit_code": TIMED_OUT if timed_out else FAILED if error else 0,
        "result": next((_text(entry) or "" for entry in reversed(values) if not entry.get("display")), None),
        "displayed": [_text(entry) for entry in values if entry.get("display")],
        "error": _error_text(error) if error else None,
        "traceback": error.get("text") if error and not timed_out else None,
        "context_id": answer.get("contextId"),
    }


def _texts(entries: Iterable[Mapping[str, Any]], kind: str) -> str:
    return "".join(str(entry.get("text") or "") for entry in entries if entry.get("type") == kind)


def _text(entry: Mapping[str, Any]) -> str | None:
    """A value as text, out of its formats or from beside them."""
    formats: Mapping[str, Any] = entry.get("data") or {}
    value = formats.get("text/plain", entry.get("text"))
    return None if value is None else str(value)


def _error_text(error: Mapping[str, Any]) -> str:
    """What ended the code, in a line: `ValueError: too small`."""
    if not error.get("name"):
        return str(error.get("text") or error.get("value") or error["type"])
    return f"{error['name']}: {error.get('value') or ''}"


def context(answer: Mapping[str, Any]) -> Result:
    """A context."""
    return {"context_id": answer.get("id"), "language": answer.get("language"), "cwd": answer.get("cwd")}


def contexts(answer: Iterable[Mapping[str, Any]]) -> Result:
    """All contexts."""
    return {"contexts": [context(found) for found in answer]}


def done(**about: Any) -> Result:
    """That something was done that gives nothing."""
    return {"success": True, **about}


def command(answer: Mapping[str, Any]) -> Result:
    """What a command gave that ended."""
    fields: Mapping[str, Any] = answer.get("result") or answer
    printed = {"stdout": str(fields.get("stdout") or ""), "stderr": str(fields.get("stderr") or "")}
    return {**printed, "exit_code": fields.get("exitCode"), "status": answer.get("status")}
