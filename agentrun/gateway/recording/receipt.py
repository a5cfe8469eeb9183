"""Counts which model calls a run has made and what served them, and says whether it was isolated."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from agentrun._core.values import is_object

VERSION = 1
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]*)"')


class Source(str, Enum):
    """What served a call; `NOT_RECORDED` was refused because the recording does not have it."""

    RECORDING = "recording"
    SCRIPTED = "scripted"
    UPSTREAM = "upstream"
    NOT_RECORDED = "not_recorded"


_WORDS: Mapping[Source, str] = {
    Source.RECORDING: "served from the recording",
    Source.SCRIPTED: "answered by the scripted model",
    Source.UPSTREAM: "sent to a real provider",
    Source.NOT_RECORDED: "refused, because the recording does not have it",
}


@dataclass(frozen=True)
class Receipt:
    """What a run has made of models: calls by what served them, for all models together and for each.

    `recording` tells the file that was replayed or written, None where there was none.
    """

    calls: Mapping[Source, int]
    models: Mapping[str, Mapping[Source, int]] = field(default_factory=dict[str, Mapping[Source, int]])
    recording: Mapping[str, Any] | None = None

    @property
    def total(self) -> int:
        """All calls."""
        return sum(self.calls.values())

    @property
    def isolated(self) -> bool:
        """Whether there was a call, and every one was served from the recording."""
        return 0 < self.total == self.calls.get(Source.RECORDING, 0)

    @property
    def reason(self) -> str | None:
        """Why the run was not isolated."""
        if self.isolated:
            return None
        others = [f"{self.calls[each]} {_WORDS[each]}" for each in Source if each in self._others]
        return f"of {_calls(self.total)} {', '.join(others)}" if others else "no model was called"

    @property
    def _others(self) -> set[Source]:
        return {each for each in Source if self.calls.get(each) and each is not Source.RECORDING}

    def summary(self) -> str:
        """All of it in one line."""
        if self.isolated:
            return f"isolated: {_calls(self.total)}, every one served from the recording"
        return f"not isolated: {self.reason}"

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Receipt:
        """The receipt that `to_json` wrote."""
        models = {name: _sources(calls) for name, calls in written["models"].items()}
        return cls(_sources(written["calls"]), models, written["recording"])

    def to_json(self) -> dict[str, Any]:
        """The receipt as it is written down."""
        return {
            "version": VERSION,
            "isolated": self.isolated,
            "reason": self.reason,
            "calls": _counts(self.calls),
            "models": {name: _counts(calls) for name, calls in sorted(self.models.items())},
            "recording": self.recording,
        }


class Ledger:
    """Counts the calls of a run."""

    def __init__(self) -> None:
        self._models: dict[str, Counter[Source]] = {}

    def count(self, model: str, source: Source) -> None:
        """One more call; a model that was not named is the empty text."""
        self._models.setdefault(model, Counter())[source] += 1

    def receipt(self, recording: Mapping[str, Any] | None = None) -> Receipt:
        """The counts so far."""
        calls = sum(self._models.values(), Counter[Source]())
        return Receipt(calls, {name: Counter(counts) for name, counts in self._models.items()}, recording)


def model_of(body: bytes) -> str:
    """The model that the body of a request names, empty when it names none.

    Bodies may be long; where only one field has the name, nothing else of it needs to be read. In a text it cannot
    stand, because quotes are escaped there.
    """
    found = _MODEL.findall(body)
    if len(found) == 1 and body.count(b'"model"') == 1:
        return str(found[0].decode("utf-8", "replace"))
    try:
        fields: Any = json.loads(body)
    except ValueError:
        return ""
    return str(fields.get("model") or "") if is_object(fields) else ""


def _counts(calls: Mapping[Source, int]) -> dict[str, int]:
    return {"total": sum(calls.values()), **{each.value: calls.get(each, 0) for each in Source}}


def _sources(counts: Mapping[str, int]) -> dict[Source, int]:
    return {each: counts[each.value] for each in Source if counts[each.value]}


def _calls(count: int) -> str:
    return f"{count} model call{'' if count == 1 else 's'}"
