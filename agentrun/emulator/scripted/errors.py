"""The errors that replies are."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from agentrun._serving.openai_error import ApiError

if TYPE_CHECKING:
    from agentrun.emulator.scripted.reply import ReplyError


def as_api_error(error: ReplyError) -> ApiError:
    """The error that a reply is."""
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        # The standard header knows whole seconds only; the openai client prefers the one in milliseconds.
        headers = {"retry-after": str(ceil(error.retry_after)), "retry-after-ms": str(round(error.retry_after * 1000))}
    return ApiError(error.status, error.message, error.code, error.param, error.type, headers)
