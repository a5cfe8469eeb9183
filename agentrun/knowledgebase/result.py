"""What knowledge bases found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from agentrun._core.values import is_list, is_object
from agentrun.errors import AgentRunError


class RetrievedDocument(NamedTuple):
    """A piece of text that was found: the higher its score, the better it fits; scores differ between providers."""

    text: str
    score: float | None = None
    metadata: Mapping[str, Any] = {}  # Nobody changes it; a tuple has no factories.


class RetrieveResult(dict[str, Any]):
    """The dict of the official client: `data` as the provider's, `query`, `knowledge_base_name`."""

    @property
    def documents(self) -> list[RetrievedDocument]:
        """What was found, the best first, in the same form for every provider; empty after an error."""
        data: Any = self.get("data")
        if is_object(data):
            return list(map(_of_chunk, data.get("chunks") or ()))
        return list(map(_of_match, data)) if is_list(data) else []

    @property
    def is_error(self) -> bool:
        """Whether the search failed, which only `multi_retrieve` tells in this way."""
        return bool(self.get("error"))


class MultiRetrieveResult(dict[str, Any]):
    """The dict of the official client: `results` by the names of knowledge bases, and the `query`.

    `errors` holds what was raised where a search failed.
    """

    def __init__(self, query: str, results: Mapping[str, RetrieveResult], errors: Mapping[str, AgentRunError]) -> None:
        super().__init__(results=dict(results), query=query)
        self.errors = dict(errors)

    @property
    def results(self) -> dict[str, RetrieveResult]:
        """What each knowledge base found."""
        return cast("dict[str, RetrieveResult]", self["results"])

    def __reduce__(self) -> tuple[Any, ...]:
        return MultiRetrieveResult, (self["query"], self["results"], self.errors)


def failed(name: str, query: str, error: AgentRunError) -> RetrieveResult:
    """What stands beside the results of other knowledge bases where one could not be searched."""
    return RetrieveResult(
        data=f"Failed to retrieve: {error}",
        query=query,
        knowledge_base_name=name,
        error=True,
        error_type=type(error).__name__,
    )


def _of_match(match: Mapping[str, Any]) -> RetrievedDocument:
    more = {name: value for name, value in match.items() if name not in ("text", "score", "metadata")}
    return RetrievedDocument(match["text"], match.get("score"), {**more, **(match.get("metadata") or {})})


def _of_chunk(chunk: Mapping[str, Any]) -> RetrievedDocument:
    about = {"document_id": chunk.get("document_id"), "document_name": chunk.get("document_keyword")}
    known = {name: value for name, value in about.items() if value}
    more: Mapping[str, Any] = chunk.get("metadata") or chunk.get("document_metadata") or {}
    return RetrievedDocument(chunk.get("content") or "", chunk.get("similarity"), {**known, **more})
