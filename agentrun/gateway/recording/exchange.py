"""One call and its answer, as a recording holds it; times are in milliseconds since the call was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class RecordingError(Exception):
    """A recording cannot be read or written; the text says where and why."""


class Ending(str, Enum):
    """How an exchange ended: whole, broken off, after too long a wait, not reached, or left by its caller."""

    COMPLETE = "complete"
    CUT = "cut"
    TIMED_OUT = "timed_out"
    UNREACHED = "unreached"
    LEFT = "left"


@dataclass(frozen=True)
class Piece:
    """A part of a body, and when it arrived."""

    ms: float
    data: bytes


@dataclass(frozen=True)
class Exchange:
    """A request and what came of it; `status` is 0 when no answer began, and `reason` says why it is not whole.

    `number` counts requests in the order in which they were sent, from 1.
    """

    number: int
    operation: str
    request: Mapping[str, Any]
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    head_ms: float = 0.0
    pieces: tuple[Piece, ...] = ()
    ending: Ending = Ending.COMPLETE
    end_ms: float = 0.0
    reason: str = ""

    @property
    def model(self) -> str:
        """The model that was asked, empty when none was named."""
        return str(self.request.get("model") or "")
