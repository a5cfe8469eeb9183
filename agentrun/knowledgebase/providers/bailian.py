"""Model Studio (Bailian): signed, one call for each index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agentrun._core.api import CloudAPI, Operation, request_id
from agentrun._core.blocking import gather
from agentrun._core.values import is_list, is_object
from agentrun.config import Config
from agentrun.errors import InvalidResponseError, from_response
from agentrun.knowledgebase.filters import equal_values
from agentrun.knowledgebase.model import BailianProviderSettings, BailianRetrieveSettings
from agentrun.knowledgebase.providers.base import ProviderDataAPI

RETRIEVE = Operation("Retrieve", "POST", "/{workspace_id}/index/retrieve", "2023-12-29")


class BailianDataAPI(ProviderDataAPI[BailianProviderSettings, BailianRetrieveSettings], CloudAPI):
    """Indexes in a workspace of Model Studio."""

    kinds = (BailianProviderSettings, BailianRetrieveSettings)

    async def _search(self, query: str, settings: Config, filters: Any) -> Any:
        where = self._place()
        asked = {"Query": query, **self._how()}
        if conditions := _conditions(filters):
            asked["SearchFilters"] = json.dumps(conditions, ensure_ascii=False)
        found = await gather(
            self._of_index(where.workspace_id, {**asked, "IndexId": index}, settings) for index in where.index_ids
        )
        nodes = [node for nodes in found for node in nodes]
        return sorted(nodes, key=lambda node: -(node["score"] or 0.0)) if len(found) > 1 else nodes

    def _how(self) -> dict[str, Any]:
        chosen = self._manner()
        given = {
            "DenseSimilarityTopK": chosen.dense_similarity_top_k,
            "SparseSimilarityTopK": chosen.sparse_similarity_top_k,
            "RerankMinScore": chosen.rerank_min_score,
            "RerankTopN": chosen.rerank_top_n,
        }
        return {name: value for name, value in given.items() if value is not None}

    async def _of_index(self, workspace_id: str, asked: dict[str, Any], settings: Config) -> list[dict[str, Any]]:
        base = self.endpoint or settings.get_bailian_endpoint()
        return _nodes(await self._ask(RETRIEVE, base, workspace_id, query=asked, config=settings))


def _nodes(answer: Any) -> list[dict[str, Any]]:
    if not is_object(answer) or not is_object(data := answer.get("Data") or {}):
        raise InvalidResponseError("Model Studio's answer has no nodes", hint="Check BAILIAN_ENDPOINT")
    if answer.get("Success") is False:
        raise from_response(
            400,
            str(answer.get("Message") or "Model Studio gave no reason"),
            error_code=str(answer.get("Code") or ""),
            request_id=request_id({}, answer),
            body=answer,
        )
    found: list[dict[str, Any]] = data.get("Nodes") or []
    return list(map(_match, found))


def _match(node: dict[str, Any]) -> dict[str, Any]:
    return {"text": node.get("Text") or "", "score": node.get("Score"), "metadata": node.get("Metadata") or {}}


def _conditions(filters: Any) -> Sequence[Any]:
    if is_list(filters):
        return filters
    values = equal_values(filters)
    return [values] if values else []
