"""What a worker answers of the code it ran."""

from __future__ import annotations

from typing import Any

MAX_TEXT = 1024 * 1024
CUT_MARK = "\n... [cut]"


def success(text: str | None) -> dict[str, Any]:
    """The answer of code that ran through."""
    return {"result": cut(text), "error": None}


def failure(error: BaseException, text: str) -> dict[str, Any]:
    """The answer of code that raised."""
    try:
        value = str(error)
    except Exception:
        value = "<its text cannot be computed>"
    return {"result": None, "error": {"name": type(error).__name__, "value": cut(value), "text": cut(text)}}


def cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= MAX_TEXT else text[:MAX_TEXT] + CUT_MARK
