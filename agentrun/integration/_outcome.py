"""What a call of a tool came to, in the forms that frameworks want: a value, a text, images, an error."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from agentrun.errors import AgentRunError


class Image(NamedTuple):
    """A picture that a tool made: its media type, and its bytes in base64."""

    media_type: str
    data: str

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return f"data:{self.media_type};base64,{self.data}"


@dataclass(frozen=True)
class ToolOutcome:
    """What a call came to: `value` is JSON, or `error` says why there is none.

    `shown` is what a model is shown where that is less than the whole value.
    """

    value: Any = None
    error: Exception | None = field(default=None, repr=False)
    images: Sequence[Image] = ()
    shown: str | None = None

    @property
    def is_error(self) -> bool:
        """Whether the call failed."""
        return self.error is not None

    @property
    def text(self) -> str:
        """What a model is shown: text as it is, anything else as JSON; of a failure, what happened and what to do."""
        if self.error is not None:
            return error_text(self.error)
        return as_text(self.value) if self.shown is None else self.shown


def plain_outcome(result: Any) -> ToolOutcome:
    """A result that is its own outcome, or a value that is shown as a whole."""
    return result if isinstance(result, ToolOutcome) else ToolOutcome(as_json(result))


def as_json(value: Any) -> Any:
    """A value of plain JSON: models and results become objects, bytes become base64."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, BaseModel):
        return as_json(value.model_dump(mode="json", exclude_none=True))
    if isinstance(value, Enum):
        return as_json(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        return {spec.name: as_json(getattr(value, spec.name)) for spec in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in _entries(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(entry) for entry in cast("Sequence[Any]", value)]
    to_dict = getattr(value, "to_dict", None)
    return as_json(to_dict()) if callable(to_dict) else str(value)


def _entries(value: Any) -> Iterable[tuple[Any, Any]]:
    entries: Iterable[tuple[Any, Any]] = value.items()
    return entries


def as_text(value: Any) -> str:
    """A value as a model reads it."""
    return value if isinstance(value, str) else json.dumps(as_json(value), ensure_ascii=False)


def error_text(error: Exception) -> str:
    """What happened, and what to do where that is known, in a line: `InvalidInputError: ...`."""
    if not isinstance(error, AgentRunError):
        return f"{type(error).__name__}: {error}"
    parts = [part.rstrip(".") for part in (error.message, error.hint) if part]
    return f"{type(error).__name__}: {'. '.join(parts)}"
