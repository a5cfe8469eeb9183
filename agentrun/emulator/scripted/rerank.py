"""Rerank: documents in the order of the words they share with a query."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import TypedDict

from typing_extensions import NotRequired

from agentrun._serving.openai_error import bad_request
from agentrun.emulator.scripted.fields import array_of, boolean, integer, object_of, required, string
from agentrun.emulator.scripted.reply import count_tokens
from agentrun.emulator.scripted.words import words_of


class DocumentFields(TypedDict):
    """A document as it came."""

    text: str


class ResultFields(TypedDict):
    """One document: where it stood in the request, and how near it is, from 0 to 1."""

    index: int
    relevance_score: float
    document: NotRequired[DocumentFields]


class UsageFields(TypedDict):
    """What the request cost, in tokens."""

    prompt_tokens: int
    total_tokens: int


class RerankFields(TypedDict):
    """The body of an answer."""

    object: str
    model: str
    results: list[ResultFields]
    usage: UsageFields


def rerank(model: str, fields: Mapping[str, object]) -> RerankFields:
    """Answer a request; raise ApiError 400 that names the field at fault."""
    query = string(required(fields, "query"), "query")
    documents = array_of(_read_document)(required(fields, "documents"), "documents")
    if not documents:
        raise bad_request("documents is empty: send at least one.", "empty_array", "documents")
    most = _read_most(fields)
    with_text = boolean(fields.get("return_documents"), "return_documents")
    scores = [relevance(query, document) for document in documents]
    # Documents that are equally near stay in their order.
    order = sorted(range(len(documents)), key=lambda index: -scores[index])[:most]
    tokens = sum(count_tokens(text) for text in (query, *documents))
    return {
        "object": "list",
        "model": model,
        "results": [_result(index, scores[index], documents[index] if with_text else None) for index in order],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def relevance(query: str, document: str) -> float:
    """Return how many words two texts share, as the cosine of the sets of their words."""
    asked, said = set(words_of(query)), set(words_of(document))
    return round(len(asked & said) / sqrt(len(asked) * len(said)), 6)


def _result(index: int, score: float, document: str | None) -> ResultFields:
    found: ResultFields = {"index": index, "relevance_score": score}
    if document is not None:
        found["document"] = {"text": document}
    return found


def _read_most(fields: Mapping[str, object]) -> int | None:
    most = fields.get("top_n")
    if most is not None and integer(most, "top_n") < 1:
        raise bad_request(f"top_n is {most}; it must be 1 or more.", "invalid_value", "top_n")
    return most if isinstance(most, int) else None


def _read_document(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    return string(object_of(value, where).get("text"), f"{where}.text")
