"""Passages of documents that fit a question, out of whichever store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple, Protocol, cast

from pydantic import Field

from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.integration._function import of_both_modes
from agentrun.integration._ranking import KeywordIndex
from agentrun.integration._toolset import CommonToolSet

MOST_PASSAGES = 50
_LONGEST = 1500


class Passage(NamedTuple):
    """A piece of a document, with how well it fits."""

    text: str
    score: float
    source: str


class Retriever(Protocol):
    """Something that finds passages; write one for a store that is not here."""

    async def retrieve(self, query: str, top_k: int) -> Sequence[Passage]:
        """The passages that fit best, best first, at most `top_k` of them."""
        ...


class LocalIndex:
    """Documents in memory, searched by their words (BM25): names and texts, or texts alone.

    Documents are cut at empty lines into passages of at most `longest` characters.
    """

    def __init__(self, documents: Mapping[str, str] | Iterable[str], *, longest: int = _LONGEST) -> None:
        named: Iterable[tuple[str, str]] = (
            cast("Mapping[str, str]", documents).items()
            if isinstance(documents, Mapping)
            else ((str(number), text) for number, text in enumerate(documents, 1))
        )
        self._passages = [(name, passage) for name, text in named for passage in passages(text, longest)]
        self._index = KeywordIndex({passage: 1.0, name: 1.0} for name, passage in self._passages)

    async def retrieve(self, query: str, top_k: int) -> Sequence[Passage]:
        """The passages that fit best."""
        found = self._index.search(query, top_k)
        return [Passage(self._passages[at][1], round(score, 4), self._passages[at][0]) for at, score in found]


class KnowledgeBases:
    """Knowledge bases of the platform, all of them asked at once."""

    def __init__(self, knowledge_base_names: Sequence[str], *, config: Config | None = None) -> None:
        self._names = list(knowledge_base_names)
        self._config = config

    async def retrieve(self, query: str, top_k: int) -> Sequence[Passage]:
        """The passages that fit best; raises when none of the knowledge bases could be searched."""
        bases: Any = import_module("agentrun.knowledgebase").KnowledgeBase  # Loaded by those alone who have some.
        answer = await bases.multi_retrieve_async(query, self._names, self._config)
        if answer.errors and len(answer.errors) == len(answer.results):
            raise next(iter(answer.errors.values()))
        found = [
            Passage(each.text, float(each.score or 0.0), name)
            for name, result in answer.results.items()
            for each in result.documents
        ]
        return sorted(found, key=lambda passage: -passage.score)[:top_k]


def passages(text: str, longest: int = _LONGEST) -> list[str]:
    """A text cut at empty lines, so that no piece has more than `longest` characters; longer paragraphs are cut."""
    pieces: list[str] = []
    for paragraph in text.split("\n\n"):
        whole = paragraph.strip()
        while len(whole) > longest:
            end = whole.rfind(" ", 1, longest) if " " in whole[1:longest] else longest
            pieces.append(whole[:end])
            whole = whole[end:].strip()
        if whole and pieces and len(pieces[-1]) + len(whole) + 2 <= longest:
            pieces[-1] += f"\n\n{whole}"
        elif whole:
            pieces.append(whole)
    return pieces


def toolset(retriever: Retriever | None = None, *, description: str | None = None) -> CommonToolSet:
    """One tool, `retrieve`, that asks a store: a LocalIndex, KnowledgeBases, or one of your own.

    `description` tells the model what the documents are about.
    """
    if retriever is None:
        raise InvalidInputError(
            "retrieval needs something to retrieve from",
            field="retriever",
            hint='For example hub.get("retrieval", retriever=LocalIndex({"name": "text"})); '
            "LocalIndex and KnowledgeBases are in agentrun.integration.hub.retrieval",
        )

    async def retrieve(query: str, top_k: Annotated[int, Field(ge=1, le=MOST_PASSAGES)] = 5) -> list[dict[str, Any]]:
        """Find passages of the documents that fit a question.

        Args:
            query: The question, or what to look for.
            top_k: How many passages are wanted at most.
        """
        return [passage._asdict() for passage in await retriever.retrieve(query, top_k)]

    return CommonToolSet([of_both_modes(retrieve, description=description)])
