"""Moderation by rules: a category is flagged for the texts that the script names, and for nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from hashlib import blake2b
from typing import TypedDict

from agentrun._serving.openai_error import bad_request
from agentrun.emulator.scripted.condition import Text, contains
from agentrun.emulator.scripted.fields import array, object_of, required
from agentrun.emulator.scripted.transcript import Parts

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
DEFAULT_MODEL = "omni-moderation-latest"
_PARTS = Parts({"text": "text"}, ("image_url",))


class ResultFields(TypedDict):
    """What was found in one input."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]


class ModerationFields(TypedDict):
    """The body of an answer."""

    id: str
    model: str
    results: list[ResultFields]


class Moderation:
    """Which category is flagged for which texts; raises ValueError for a category that is none."""

    def __init__(self, rules: Mapping[str, Text | Sequence[Text]]) -> None:
        for category in rules:
            if category not in CATEGORIES:
                raise ValueError(f"moderation: {category!r} is no category{_meant(category)}")
        self.rules = {category: _listed(texts) for category, texts in rules.items()}

    def result(self, text: str) -> ResultFields:
        """Look into one input; a score is 1 or 0."""
        found = {each: any(contains(text, rule) for rule in self.rules.get(each, ())) for each in CATEGORIES}
        return {
            "flagged": any(found.values()),
            "categories": found,
            "category_scores": {category: float(flagged) for category, flagged in found.items()},
            "category_applied_input_types": {category: ["text"] for category in CATEGORIES},
        }


def moderate(moderation: Moderation, model: str, fields: Mapping[str, object]) -> ModerationFields:
    """Answer a request; raise ApiError 400 that names the field at fault."""
    texts = _read_input(required(fields, "input"))
    name = blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return {"id": f"modr-{name}", "model": model, "results": [moderation.result(text) for text in texts]}


def _read_input(value: object) -> list[str]:
    """Read a string, strings, each of which has a result, or the parts of one input."""
    if isinstance(value, str):
        return [value]
    listed = array(value, "input")
    if not listed:
        raise bad_request("input is empty: send at least one text.", "empty_array", "input")
    texts = [item for item in listed if isinstance(item, str)]
    return texts if len(texts) == len(listed) else [_read_parts(listed)]


def _read_parts(parts: Sequence[object]) -> str:
    read = [_PARTS.text_of(object_of(part, f"input[{i}]"), f"input[{i}]") for i, part in enumerate(parts)]
    return "\n".join(text for text in read if text is not None)


def _listed(texts: Text | Sequence[Text]) -> tuple[Text, ...]:
    return (texts,) if isinstance(texts, str | re.Pattern) else tuple(texts)


def _meant(category: str) -> str:
    near = get_close_matches(category, CATEGORIES, n=1)
    return f": did you mean {near[0]!r}?" if near else f"; there are {', '.join(CATEGORIES)}"
