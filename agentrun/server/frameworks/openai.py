"""Messages in the shape of OpenAI's chats, which need no framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrun.server.model import Message


def messages(request_messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as dicts, without the fields that say nothing."""
    return [message.model_dump(mode="json", exclude_none=True) for message in request_messages]
