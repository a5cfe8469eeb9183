"""Media types: which of several is sent, and what kind each is."""

from __future__ import annotations

from collections.abc import Iterable

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON = "application/json"
_TEXTS = ("xml", "yaml", "javascript", "graphql", "ndjson", "jsonl", "json-seq")


def essence(media_type: str) -> str:
    """A media type without its parameters, in lower case."""
    return media_type.partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    """Whether it is JSON, or leaves it open what it is."""
    kind = essence(media_type)
    return kind in (JSON, "*/*", "application/*") or kind.endswith(("+json", "/json"))


def is_text(media_type: str) -> bool:
    """Whether it is text."""
    kind = essence(media_type)
    return kind.startswith("text/") or kind.endswith(_TEXTS)


def is_binary(media_type: str) -> bool:
    """Whether it is bytes that are no text."""
    return not is_json(media_type) and not is_text(media_type) and essence(media_type) not in (FORM, MULTIPART)


def preferred(media_types: Iterable[str]) -> str | None:
    """The one that is easiest to give, None when there is none."""
    return min(media_types, key=_rank, default=None)


def _rank(media_type: str) -> int:
    kind = essence(media_type)
    order = (JSON, "application/merge-patch+json", "*/*")
    if kind in order:
        return order.index(kind)
    if is_json(kind):
        # A JSON Patch is a list of steps and harder to write than the change itself.
        return 4 if "json-patch" in kind else 3
    if kind in (FORM, MULTIPART):
        return 5 if kind == FORM else 6
    return 7 if is_text(kind) else 8


def accepted(media_types: Iterable[str]) -> str:
    """The value of the header `accept` for answers of these types: JSON before others."""
    kinds = list(dict.fromkeys(essence(each) for each in media_types))
    kinds.sort(key=lambda kind: not is_json(kind))
    return ", ".join(kinds) or "*/*"
