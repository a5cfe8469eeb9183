"""Model Studio's retrieval: `POST /{workspace}/index/retrieve`, everything in the query, signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from agentrun._core.values import is_list, is_object
from agentrun.emulator.auth import Authenticator, Tenant
from agentrun.emulator.control.knowledgebases import BAILIAN, KnowledgeBases
from agentrun.emulator.data.retrieval.matching import has_values
from agentrun.emulator.data.retrieval.versions import check_version
from agentrun.emulator.http import Request
from agentrun.emulator.knowledge.index import Hit
from agentrun.emulator.wire.envelope import ServiceError, invalid, unsupported
from agentrun.emulator.wire.schema import nearest
from agentrun.emulator.wire.table import whole_number

ACTION = "Retrieve"
VERSION = "2023-12-29"
_PARAMETERS = (
    "IndexId",
    "Query",
    "DenseSimilarityTopK",
    "SparseSimilarityTopK",
    "RerankMinScore",
    "RerankTopN",
    "SearchFilters",
    "EnableReranking",
    "SaveRetrieverHistory",
)


class BailianRetrieval:
    """Answers for Model Studio."""

    def __init__(self, bases: KnowledgeBases, auth: Authenticator) -> None:
        self._bases = bases
        self._auth = auth

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path is that of a retrieval."""
        return path.endswith("/index/retrieve") and path.count("/") == 3

    async def answer(self, request: Request, note: Callable[[str], None]) -> dict[str, Any]:
        """The answer to a search; raises ServiceError."""
        if request.method != "POST":
            raise ServiceError(405, "UnsupportedHTTPMethod", f"{request.path} takes POST, not {request.method}")
        tenant = await self._auth.control(request, ACTION)
        note(tenant.scope.account)
        check_version(request, VERSION)
        query = request.query
        _check(query)
        hits = self._hits(tenant, unquote(request.path.split("/")[1]), query)
        return {"Success": True, "Status": "200", "Data": {"Nodes": [_node(hit) for hit in hits]}}

    def _hits(self, tenant: Tenant, workspace: str, query: Mapping[str, str]) -> list[Hit]:
        dense = whole_number(query, "DenseSimilarityTopK", 100, most=100, least=0)
        sparse = whole_number(query, "SparseSimilarityTopK", 100, most=100, least=0)
        most = min(whole_number(query, "RerankTopN", 5, most=20), dense + sparse)
        least, accepts = (
            _least_score(query.get("RerankMinScore")),
            has_values(_values(query.get("SearchFilters")).items()),
        )
        found = [
            hit
            for base in self._searched(tenant, workspace, query["IndexId"])
            for hit in self._bases.index.search(base, query["Query"], most, accepts)
        ]
        best = sorted(found, key=lambda hit: -hit.score)[:most]
        return [hit for hit in best if hit.score >= least]

    def _searched(self, tenant: Tenant, workspace: str, index_id: str) -> list[str]:
        """The knowledge bases whose documents are in an index: documents are put into the first index of theirs."""
        bases = [
            (record.id, record.document["providerSettings"]["indexIds"])
            for record in self._bases.with_documents(tenant.scope, BAILIAN)
            if record.document["providerSettings"]["workspaceId"] == workspace
        ]
        if not any(index_id in indexes for _, indexes in bases):
            raise ServiceError(
                404,
                "Index.NotFound",
                f"index {index_id} of workspace {workspace} has no documents on this machine: create a knowledge base "
                "that names it and call its add_documents",
            )
        return [id for id, indexes in bases if indexes[0] == index_id]


def _check(query: Mapping[str, str]) -> None:
    for name in query:
        if name not in _PARAMETERS:
            raise invalid(f"query parameter {name} is unknown: {nearest(name, _PARAMETERS)}")
    for name in ("IndexId", "Query"):
        if not query.get(name, "").strip():
            raise invalid(f"query parameter {name} is required")


def _least_score(text: str | None) -> float:
    try:
        return float(text or 0.0)
    except ValueError as error:
        raise invalid(f"query parameter RerankMinScore must be a number, not {text}") from error


def _values(text: str | None) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        filters = json.loads(text)
    except ValueError as error:
        raise invalid(f"query parameter SearchFilters is not JSON: {error}") from error
    if not is_list(filters) or not all(map(is_object, filters)):
        raise invalid("query parameter SearchFilters must be a list of objects")
    if len(filters) > 1:
        raise unsupported("the index of this machine takes one object in SearchFilters, whose values must all be there")
    return filters[0] if filters else {}


def _node(hit: Hit) -> dict[str, Any]:
    document = hit.document
    about = {"doc_id": document.id, "doc_name": document.title or document.id, "_id": hit.id}
    return {"Text": hit.text, "Score": hit.score, "Metadata": {**about, **document.metadata}}
