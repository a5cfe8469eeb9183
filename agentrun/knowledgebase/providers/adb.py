"""AnalyticDB for PostgreSQL (ADB): signed, with the query in a form."""

from __future__ import annotations

import json
from typing import Any

from agentrun._core.api import CloudAPI, Operation
from agentrun._core.values import is_object
from agentrun.config import Config
from agentrun.errors import InvalidResponseError
from agentrun.knowledgebase.filters import as_condition, equal_values
from agentrun.knowledgebase.model import ADBProviderSettings, ADBRetrieveSettings
from agentrun.knowledgebase.providers.base import ProviderDataAPI

QUERY_CONTENT = Operation("QueryContent", "POST", "/", "2016-05-03")
# How long links to files in an answer work.
_URL_EXPIRATION = "356d"
# What a match has beside its text, its score and its metadata.
_MORE = {
    "Id": "id",
    "FileName": "file_name",
    "FileURL": "file_url",
    "RerankScore": "rerank_score",
    "RetrievalSource": "retrieval_source",
    "LoaderMetadata": "loader_metadata",
}


class ADBDataAPI(ProviderDataAPI[ADBProviderSettings, ADBRetrieveSettings], CloudAPI):
    """A collection of documents in AnalyticDB for PostgreSQL."""

    kinds = (ADBProviderSettings, ADBRetrieveSettings)

    async def _search(self, query: str, settings: Config, filters: Any) -> Any:
        where = self._place()
        form = {"Content": query}
        if condition := self._condition(filters):
            form["Filter"] = condition
        base = self.endpoint or settings.get_gpdb_endpoint()
        asked = {**self._whereabouts(where, settings), **self._how()}
        return _matches(await self._ask(QUERY_CONTENT, base, query=asked, form=form, config=settings))

    def _whereabouts(self, where: ADBProviderSettings, settings: Config) -> dict[str, Any]:
        return {
            "DBInstanceId": where.db_instance_id,
            "Namespace": where.namespace,
            "NamespacePassword": where.namespace_password,
            "Collection": self.knowledge_base_name,
            "Metrics": where.metrics,
            "RegionId": settings.get_region_id(),
            "UrlExpiration": _URL_EXPIRATION,
        }

    def _how(self) -> dict[str, Any]:
        chosen = self._manner()
        return {
            "TopK": chosen.top_k,
            "UseFullTextRetrieval": chosen.use_full_text_retrieval,
            "RerankFactor": chosen.rerank_factor,
            "RerankModel": _json(_capitalised(chosen.rerank_model.to_wire()) if chosen.rerank_model else None),
            "RecallWindow": _json(chosen.recall_window),
            "HybridSearch": chosen.hybrid_search,
            "HybridSearchArgs": _json(chosen.hybrid_search_args),
        }

    def _condition(self, filters: Any) -> str | None:
        given = filters if isinstance(filters, str) else as_condition(equal_values(filters) or {})
        conditions = [each for each in (self._manner().filter, given) if each]
        return " AND ".join(f"({each})" for each in conditions) if len(conditions) > 1 else "".join(conditions) or None


def _matches(answer: Any) -> list[dict[str, Any]]:
    if not is_object(answer) or not is_object(matches := answer.get("Matches") or {}):
        raise InvalidResponseError("AnalyticDB's answer has no matches", hint="Check GPDB_ENDPOINT")
    found: list[dict[str, Any]] = matches.get("MatchList") or []
    return list(map(_match, found))


def _match(match: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "text": match.get("Content") or "",
        "score": match.get("Score"),
        "metadata": match.get("Metadata") or {},
    }
    return {**found, **{ours: match[theirs] for theirs, ours in _MORE.items() if match.get(theirs) is not None}}


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _capitalised(fields: dict[str, Any]) -> dict[str, Any]:
    return {name[0].upper() + name[1:]: value for name, value in fields.items()}
