"""What every answer of a language model is, in whichever protocol: one JSON body, or a stream of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Protocol, TypeAlias

from agentrun.emulator.scripted.conversation import Conversation, ToolCall
from agentrun.emulator.scripted.reply import Reply

Event: TypeAlias = tuple[bytes, bool]
"""One server-sent event, and whether it is a token."""


class Answer(Protocol):
    """An answer that can be sent."""

    @property
    def conversation(self) -> Conversation:
        """What was asked."""
        ...

    @property
    def reply(self) -> Reply:
        """What the script said to it."""
        ...

    def body(self) -> object:
        """The whole answer."""
        ...

    def events(self) -> Iterator[Event]:
        """The answer as server-sent events; raises StreamBreak where the connection is to be cut."""
        ...


dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Writes compact JSON."""


def encode(value: object) -> bytes:
    """Write compact JSON as UTF-8."""
    return encode_text(dump(value))


def encode_text(text: str) -> bytes:
    """Encode JSON that is written already."""
    # JSON may carry half a surrogate pair, which UTF-8 cannot: it becomes a question mark, not a broken answer.
    return text.encode("utf-8", "replace")


def call_id(conversation: Conversation, index: int, call: ToolCall) -> str:
    """Return the id of a tool call: its own, else one that depends on the conversation alone."""
    return call.id or f"call_{conversation.fingerprint}{index}"
