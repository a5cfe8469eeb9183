"""Where the text is in requests and answers, whichever of the protocols they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentrun._core.values import is_list, is_object

# What was written for a model, and what of that only the developer writes.
_WRITTEN = (
    "messages",
    "input",
    "prompt",
    "instructions",
    "query",
    "documents",
    "suffix",
    "prediction",
    "tools",
    "functions",
)
_BY_DEVELOPER = frozenset(("instructions", "tools", "functions"))
_TRUSTED_ROLES = frozenset(("system", "developer", "assistant"))
# Fields that hold no text but what programs go by.
_STRUCTURE = frozenset(
    (
        "call_id",
        "encrypted_content",
        "file_id",
        "finish_reason",
        "format",
        "id",
        "item_id",
        "model",
        "name",
        "object",
        "role",
        "status",
        "tool_call_id",
        "type",
    )
)
# Pictures and sound: long, and without a single space.
_ENCODED = re.compile(r"(?:data:[^,]{0,128},)?[A-Za-z0-9+/=_-]{256,}")
# What the events of a response repeat as a whole.
_WHOLE = ("text", "refusal", "arguments", "code", "transcript", "input", "part", "item")


@dataclass(frozen=True)
class Slot:
    """A place that holds a text; `key` is the same for all pieces of one text, `group` for what comes in its order."""

    holder: Any
    name: str | int
    key: str = ""
    group: str = ""
    trusted: bool = False

    @property
    def text(self) -> str:
        """What it holds."""
        text: str = self.holder[self.name]
        return text

    def put(self, text: str) -> None:
        """Replace what it holds."""
        self.holder[self.name] = text


def request_slots(fields: dict[str, Any]) -> Iterator[Slot]:
    """The texts of a request; those that the developer and the model wrote are trusted."""
    for name in _WRITTEN:
        entries = fields.get(name)
        if is_list(entries):
            for at, entry in enumerate(entries):
                trusted = name in _BY_DEVELOPER or (is_object(entry) and entry.get("role") in _TRUSTED_ROLES)
                yield from _slots(entries, at, trusted=trusted)
        elif entries:
            yield from _slots(fields, name, trusted=name in _BY_DEVELOPER)


def answer_slots(operation: str, answer: dict[str, Any]) -> Iterator[Slot]:
    """The texts of a whole answer."""
    if operation == "responses":
        yield from _named(answer, ("output",))
    elif operation.endswith("completions"):
        for choice in choices_of(answer):
            yield from _named(choice, ("message", "text"))


def delta_slots(operation: str, event: dict[str, Any]) -> Iterator[Slot]:
    """The pieces of texts in an event of a stream."""
    if operation == "responses":
        kind = str(event.get("type"))
        if kind.endswith(".delta") and isinstance(event.get("delta"), str):
            where = [event.get(name) for name in ("item_id", "output_index", "content_index", "summary_index")]
            yield Slot(event, "delta", f"{kind}{where}")
        return
    for choice in choices_of(event):
        group = str(choice.get("index", 0))
        yield from _named(choice, ("delta", "message", "text"), group)


def whole_slots(operation: str, event: dict[str, Any]) -> Iterator[Slot]:
    """The whole texts that an event of a stream repeats."""
    if operation == "responses" and not str(event.get("type")).endswith(".delta"):
        yield from _named(event, _WHOLE)
        if is_object(response := event.get("response")):
            yield from _named(response, ("output",))


def ended_groups(operation: str, event: Mapping[str, Any]) -> list[str]:
    """The groups whose texts are at their end with this event."""
    if operation == "responses":
        return [] if str(event.get("type")).endswith((".delta", ".added", ".in_progress")) else [""]
    return [str(choice.get("index", 0)) for choice in choices_of(event) if choice.get("finish_reason")]


def choices_of(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or of a chunk."""
    choices = fields.get("choices")
    return [choice for choice in choices if is_object(choice)] if is_list(choices) else []


def _named(holder: dict[str, Any], names: Sequence[str], group: str = "") -> Iterator[Slot]:
    for name in names:
        if name in holder:
            yield from _slots(holder, name, f"{group}/{name}", group)


def _slots(holder: Any, name: str | int, key: str = "", group: str = "", *, trusted: bool = False) -> Iterator[Slot]:
    """The texts in a place, which may hold anything; `key` is that of the place."""
    value: Any = holder[name]
    if isinstance(value, str):
        if value and name not in _STRUCTURE and not _ENCODED.fullmatch(value):
            yield Slot(holder, name, key, group, trusted)
    elif is_object(value):
        for inner in value:
            yield from _slots(value, inner, f"{key}/{inner}", group, trusted=trusted)
    elif is_list(value):
        for at, entry in enumerate(value):
            # Pieces of one tool call say which one it is; where they stand in their event says nothing.
            number = entry.get("index", at) if is_object(entry) else at
            yield from _slots(value, at, f"{key}/{number}", group, trusted=trusted)
