"""Which documents answer a query best, in the protocol that Jina, Cohere, vLLM and others share."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from agentrun._core.model import Model
from agentrun._core.openai import Question, Readers


class _Answer(Model):
    # The names are snake_case on the wire too, as everywhere in the protocols of models.
    model_config = ConfigDict(alias_generator=None)


class RerankedDocument(_Answer):
    """A document's place among those given, its score (higher is better), and itself where it was sent back."""

    index: int
    relevance_score: float
    document: Any = None


class RerankResult(_Answer):
    """The documents from the best on."""

    results: list[RerankedDocument]
    model: str | None = None
    id: str | None = None
    usage: dict[str, Any] | None = None


def _readers() -> Readers:
    return Readers(RerankResult.from_wire, RerankResult.from_wire)


RERANK = Question("/rerank", _readers)
