"""What happens in a sandbox, as streams tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import Field

from agentrun._core.model import Model
from agentrun.errors import InvalidResponseError
from agentrun.sandbox.mime import Result

END_OF_EXECUTION: Literal["endOfExecution"] = "endOfExecution"


@dataclass(frozen=True)
class OutputEvent:
    """A piece of what was printed; `type` is the stream."""

    type: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True)
class ErrorEvent:
    """What ended the code: an exception with its name, value and traceback, or the timeout."""

    type: Literal["error", "timeout"]
    text: str
    name: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class EndEvent:
    """The end of an execution, well or not."""

    type: Literal["endOfExecution"]
    status: str | None = None
    context_id: str | None = None


@dataclass(frozen=True)
class ExitEvent:
    """The end of a process; 128 plus the number of the signal that ended it."""

    type: Literal["exit"]
    exit_code: int
    status: str | None = None


class FileEvent(Model):
    """A change below a folder that is watched; what was moved came from `source`."""

    type: str
    path: str = ""
    source: str | None = Field(default=None, validation_alias="from", serialization_alias="from")
    is_directory: bool = False


ExecutionEvent: TypeAlias = "OutputEvent | Result | ErrorEvent | EndEvent"
ProcessEvent: TypeAlias = "OutputEvent | ExitEvent"


def execution_event(entry: Mapping[str, Any]) -> ExecutionEvent | None:
    """The event of an entry of the service, None for a kind that this version does not know."""
    kind = entry.get("type")
    if kind == "stdout" or kind == "stderr":
        return OutputEvent(kind, str(entry.get("text") or ""))
    if kind == "result":
        return Result.of(entry)
    if kind == "error" or kind == "timeout":
        text, name, value = (entry.get(part) for part in ("text", "name", "value"))
        return ErrorEvent(kind, str(text or ""), name, value)
    return EndEvent(END_OF_EXECUTION, entry.get("status"), entry.get("contextId")) if is_end(entry) else None


def process_event(entry: Mapping[str, Any]) -> ProcessEvent | None:
    """The event of an entry of the service, None for a kind that this version does not know."""
    kind = entry.get("type")
    if kind == "stdout" or kind == "stderr":
        return OutputEvent(kind, str(entry.get("text") or ""))
    if not is_exit(entry):
        return None
    if not isinstance(entry.get("exitCode"), int):
        raise InvalidResponseError(f"a process ended without an exit code: {entry!r:.200}")
    return ExitEvent("exit", entry["exitCode"], entry.get("status"))


def is_end(entry: Mapping[str, Any]) -> bool:
    """Whether an entry ends an execution."""
    return entry.get("type") == END_OF_EXECUTION


def is_exit(entry: Mapping[str, Any]) -> bool:
    """Whether an entry ends the output of a process."""
    return entry.get("type") == "exit"
