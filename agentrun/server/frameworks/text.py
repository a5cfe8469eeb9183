"""Messages for an agent that takes text alone."""

from __future__ import annotations

from collections.abc import Sequence

from agentrun.server.model import Message


def messages(request_messages: Sequence[Message]) -> str:
    """What the user said last, in words; empty when the user said nothing."""
    return next((message.text for message in reversed(request_messages) if message.role == "user"), "")
