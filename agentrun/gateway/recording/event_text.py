"""Finds the texts that a stream spreads over its events, as models stream words: piece by piece, each in an event."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from agentrun._core.values import is_list, is_object

Span: TypeAlias = tuple[int, int]
_Label: TypeAlias = tuple[object, ...]

_EVENT = re.compile(r"^data: ?(\{.*)$", re.MULTILINE)
# What a colon follows is a name, and no value.
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?')
_STREAMED = frozenset(("content", "reasoning_content", "refusal", "arguments", "text", "delta", "partial_json"))
# What tells texts apart that are streamed at the same time: fields of an event, and of the entries of its lists.
_OF_EVENT = ("type", "item_id", "output_index", "content_index")


def fragments(text: str) -> Iterator[Sequence[Span]]:
    """For each text that is streamed, where its parts stand, in order. A character of `text` stands for one byte."""
    found: defaultdict[_Label, list[Span]] = defaultdict(list)
    for event in _EVENT.finditer(text):
        for label, (begin, end) in _streamed(event[1]):
            found[label].append((event.start(1) + begin, event.start(1) + end))
    yield from found.values()


def _streamed(data: str) -> Iterator[tuple[_Label, Span]]:
    try:
        fields: Any = json.loads(data.encode("latin-1"))
    except ValueError:
        return
    whose = tuple(fields.get(name) for name in _OF_EVENT)
    labels = list(_labels(fields, whose))
    strings = [string for string in _STRING.finditer(data) if not string[2]]
    # They differ only where an object has a name twice.
    if len(labels) == len(strings):
        for label, string in zip(labels, strings, strict=True):
            if label[-1] in _STREAMED:
                yield label, string.span(1)


def _labels(value: Any, label: _Label) -> Iterator[_Label]:
    """The label of each string in a value, in the order in which they are written."""
    if isinstance(value, str):
        yield label
    elif is_object(value):
        for name, entry in value.items():
            yield from _labels(entry, (*label, name))
    elif is_list(value):
        for place, entry in enumerate(value):
            number = entry.get("index", place) if is_object(entry) else place
            yield from _labels(entry, (*label, number))
