"""A tool that searches knowledge bases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet
from agentrun.knowledgebase import KnowledgeBase, MultiRetrieveResult

_PARAMETERS = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "What to look for, in the words that the documents would use"},
        "metadata_filters": {
            "type": "object",
            "description": "Fields of the documents' metadata with the values that they must have",
            "additionalProperties": {"type": "string"},
        },
    },
    "required": ["query"],
}


class KnowledgeBaseToolSet(CommonToolSet):
    """One tool, `search_document`, that searches all of these knowledge bases."""

    def __init__(self, knowledge_base_names: Sequence[str], config: Config | None = None) -> None:
        if isinstance(knowledge_base_names, str) or not knowledge_base_names:
            raise InvalidInputError(
                "knowledge_base_names must be a list of names", field="knowledge_base_names", hint='Give ["name"]'
            )
        self._names = list(knowledge_base_names)
        self._config = config
        description = f"Search documents in {', '.join(self._names)}. Answers texts that fit the query, the best first."
        super().__init__([Tool("search_document", description, _PARAMETERS, perform=self._perform)])

    async def search_document_async(self, query: str, metadata_filters: Any = None) -> dict[str, Any]:
        """What fits a query, by the names of the knowledge bases: texts with their scores and metadata.

        One that cannot be searched has its error beside the results of the others; when none can, the first error is
        raised.
        """
        found = await KnowledgeBase.multi_retrieve_async(query, self._names, self._config, metadata_filters)
        if found.errors and len(found.errors) == len(found.results):
            raise next(iter(found.errors.values()))
        return {"query": query, "results": _shown(found)}

    def search_document(self, query: str, metadata_filters: Any = None) -> dict[str, Any]:
        """What fits a query, by the names of the knowledge bases: texts with their scores and metadata.

        One that cannot be searched has its error beside the results of the others; when none can, the first error is
        raised.
        """
        return run(self.search_document_async(query, metadata_filters))

    async def _perform(self, arguments: dict[str, Any]) -> dict[str, Any]:
        for name in arguments:
            if name not in _PARAMETERS["properties"]:
                raise InvalidInputError(f"search_document has no argument {name!r}", field=name)
        query = arguments.get("query")
        if not isinstance(query, str) or not query.strip():
            raise InvalidInputError("query must be a text that is not empty", field="query")
        return await self.search_document_async(query, arguments.get("metadata_filters"))


def _shown(found: MultiRetrieveResult) -> dict[str, Any]:
    """What a model reads: the same form for all providers, and of a failure only what happened."""
    return {
        name: {"data": result["data"], "error": True}
        if result.is_error
        else {"data": [document._asdict() for document in result.documents]}
        for name, result in found.results.items()
    }


def knowledgebase_toolset(knowledge_base_names: Sequence[str], *, config: Config | None = None) -> KnowledgeBaseToolSet:
    """One tool, `search_document`, that searches these knowledge bases; they are looked up when it is called."""
    return KnowledgeBaseToolSet(knowledge_base_names, config)
