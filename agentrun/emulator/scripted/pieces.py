"""The pieces in which an answer streams, each of which counts as one token for speed and for where a stream breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

from agentrun.emulator.scripted.reply import Reply

T = TypeVar("T")

# A word with the space before it; scripts without spaces are cut every 16 characters, so that they stream as well.
_WORD = re.compile(r"\s*\S{1,16}|\s+")
_ARGUMENTS_PIECE = 16


class StreamBreak(Exception):
    """The stream ends here, before its end."""


def split_text(text: str) -> list[str]:
    """Cut content or reasoning."""
    return _WORD.findall(text)


def split_arguments(text: str) -> list[str]:
    """Cut the arguments of a tool call."""
    return [text[start : start + _ARGUMENTS_PIECE] for start in range(0, len(text), _ARGUMENTS_PIECE)]


def count_pieces(reply: Reply) -> int:
    """Count the pieces of a whole reply."""
    texts = len(split_text(reply.reasoning)) + len(split_text(reply.content))
    return texts + sum(len(split_arguments(call.arguments_json)) for call in reply.tool_calls)


def until_break(events: Iterator[tuple[T, bool]], tokens: int | None) -> Iterator[tuple[T, bool]]:
    """Pass events on, and raise StreamBreak instead of the one after so many that are tokens; None breaks nothing."""
    for event in events:
        if tokens is not None:
            if not tokens:
                raise StreamBreak
            tokens -= event[1]
        yield event
