"""What an agent does while it runs, in words that belong to no framework and no protocol."""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import BaseModel, Field
from typing_extensions import TypedDict


class EventType(str, Enum):
    """What happened; the comment says what `data` holds."""

    TEXT = "TEXT"  # delta
    REASONING = "REASONING"  # delta
    TOOL_CALL = "TOOL_CALL"  # id, name, args: a whole call, its arguments as JSON text
    TOOL_CALL_CHUNK = "TOOL_CALL_CHUNK"  # id, name with the first piece, args_delta
    TOOL_RESULT = "TOOL_RESULT"  # id, result, and with an error is_error
    TOOL_RESULT_CHUNK = "TOOL_RESULT_CHUNK"  # id, delta
    USAGE = "USAGE"  # input_tokens, output_tokens of one answer of a model
    ERROR = "ERROR"  # message, code, and an HTTP status where one says what is wrong
    STATE = "STATE"  # snapshot, or delta
    HITL = "HITL"  # id, type, prompt, and what else the question to a person needs
    CUSTOM = "CUSTOM"  # name, value
    RAW = "RAW"  # raw: written as it is


class MergeOptions(TypedDict, total=False):
    """How `addition` goes into what a protocol sends."""

    concat_list: bool
    no_new_field: bool
    ignore_empty_list: bool


class AgentEvent(BaseModel):
    """One thing that an agent did; `addition` is merged into what a protocol sends of it."""

    event: EventType
    data: dict[str, Any] = Field(default_factory=dict)
    addition: dict[str, Any] | None = None
    addition_merge_options: MergeOptions | None = None
