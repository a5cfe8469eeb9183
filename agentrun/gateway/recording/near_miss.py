"""Says how a request that was not recorded differs from the nearest one that was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from heapq import nlargest
from typing import Any, NamedTuple

from agentrun._core.values import is_list, is_object
from agentrun.gateway.recording.matching import Normalised

_MOST_SHOWN = 5
_MOST_COMPARED = 5
_BEFORE, _SHOWN = 24, 72
_MISSING = object()


class Recorded(NamedTuple):
    """A request of the recording, and its number there."""

    number: int
    request: Normalised


def describe(asked: Normalised, recorded: Sequence[Recorded]) -> str:
    """The nearest request, and field by field what is different; secrets are placeholders in it."""
    what = f"{asked.operation} with model {asked.fields.get('model')!r}"
    if not recorded:
        return f"The recording is empty, so it has no {what}."
    nearest, differences = _nearest(asked, recorded)
    count = f"{len(differences)} field{'' if len(differences) == 1 else 's'}"
    lines = [f"The recording has no such {what}.", f"The nearest is its exchange {nearest.number}, other in {count}:"]
    lines += differences[:_MOST_SHOWN]
    if len(differences) > _MOST_SHOWN:
        lines.append(f"... and {len(differences) - _MOST_SHOWN} more")
    return "\n".join(lines)


def _nearest(asked: Normalised, recorded: Sequence[Recorded]) -> tuple[Recorded, list[str]]:
    """By the fields that are equal first, because that is quick; among the best by how much the others differ."""
    own = _leaves(asked)

    def equal(each: Recorded) -> int:
        return len(own.items() & _leaves(each.request).items())

    best = nlargest(_MOST_COMPARED, recorded, key=equal)
    nearest = min(best, key=lambda each: _distance(own, _leaves(each.request)))
    return nearest, list(_differences(own, _leaves(nearest.request)))


def _leaves(request: Normalised) -> dict[str, Any]:
    """Every value of a request that holds no other, by its path, as in `messages[0].content`."""
    return {"operation": request.operation, **dict(_walk(request.fields, ""))}


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if is_object(value) and value:
        for name, entry in value.items():
            yield from _walk(entry, f"{path}.{name}" if path else name)
    elif is_list(value) and value:
        for number, entry in enumerate(value):
            yield from _walk(entry, f"{path}[{number}]")
    else:
        # What is compared and shown is JSON, in which 1 is not true and a text has quotes.
        yield path, value if isinstance(value, str) else _Plain(json.dumps(value))


class _Plain(str):
    """A value that is no text, as it is written; equal to no text."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Plain) and super().__eq__(other)

    def __hash__(self) -> int:
        return hash((_Plain, str(self)))


def _distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    return sum(_apart(one.get(path, _MISSING), other.get(path, _MISSING)) for path in one.keys() | other.keys())


def _apart(one: Any, other: Any) -> float:
    """From 0 for what is equal to 1."""
    if one == other:
        return 0.0
    if isinstance(one, str) and isinstance(other, str):
        return 1.0 - SequenceMatcher(None, one, other).quick_ratio()
    return 1.0


def _differences(asked: Mapping[str, Any], recorded: Mapping[str, Any]) -> Iterator[str]:
    for path in dict.fromkeys((*recorded, *asked)):
        ours, theirs = asked.get(path, _MISSING), recorded.get(path, _MISSING)
        if ours is _MISSING:
            yield f"  {path}: only in the recording, {_short(theirs)}"
        elif theirs is _MISSING:
            yield f"  {path}: only in the request, {_short(ours)}"
        elif ours != theirs:
            yield _changed(path, theirs, ours)


def _changed(path: str, recorded: str, asked: str) -> str:
    if isinstance(recorded, _Plain) or isinstance(asked, _Plain):
        return f"  {path}: recorded {_short(recorded)}, asked {_short(asked)}"
    begin = max(0, _common(recorded, asked) - _BEFORE)
    return f"  {path}:\n    - {_window(recorded, begin)}\n    + {_window(asked, begin)}"


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _window(text: str, begin: int) -> str:
    shown = json.dumps(text[begin : begin + _SHOWN], ensure_ascii=False)[1:-1]
    return f"{'…' if begin else ''}{shown}{'…' if len(text) > begin + _SHOWN else ''}"


def _short(value: str) -> str:
    return value if isinstance(value, _Plain) else f'"{_window(value, 0)}"'
