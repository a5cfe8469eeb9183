"""RagFlow's retrieval: `POST /ragflow/{knowledge base id}/api/v1/retrieval`, with the credential's key.

Errors are answered as RagFlow does, with status 200 and a code in the body.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun.emulator.control.knowledgebases import RAGFLOW_PREFIX, KnowledgeBases
from agentrun.emulator.data.retrieval.matching import has_values
from agentrun.emulator.http import Request
from agentrun.emulator.knowledge.index import Hit
from agentrun.emulator.outbound import OutboundCredentials
from agentrun.emulator.store import Record
from agentrun.emulator.usage import user
from agentrun.emulator.wire.envelope import ServiceError
from agentrun.errors import CredentialError

PATH = "/api/v1/retrieval"
_BAD_ARGUMENT, _BAD_DATA, _UNAUTHORIZED = 101, 102, 109
_WRONG_KEY = "the API key is not that of the knowledge base's credential"
# How many chunks are looked at unless the caller says less.
_MOST = 1024
# Those after `top_k` ask for what an index of words has not, and change nothing.
_FIELDS = (
    "question",
    "dataset_ids",
    "page",
    "page_size",
    "similarity_threshold",
    "metadata_condition",
    "top_k",
    "vector_similarity_weight",
    "cross_languages",
    "keyword",
    "highlight",
)


class RagFlowError(Exception):
    """A refusal with one of RagFlow's codes."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class RagFlowRetrieval:
    """Answers for a RagFlow server."""

    def __init__(self, bases: KnowledgeBases, credentials: OutboundCredentials) -> None:
        self._bases = bases
        self._credentials = credentials

    async def answer(self, request: Request, note: Callable[[str], None]) -> dict[str, Any]:
        """The answer to a search; raises ServiceError (404, 405) for other paths."""
        id, _, below = request.path.removeprefix(RAGFLOW_PREFIX).partition("/")
        if f"/{below}" != PATH:
            raise ServiceError(404, "InvalidAction.NotFound", f"below {RAGFLOW_PREFIX}{{id}} there is only {PATH}")
        if request.method != "POST":
            raise ServiceError(405, "UnsupportedHTTPMethod", f"{PATH} takes POST, not {request.method}")
        try:
            record = self._allowed(id, request.headers.get("authorization", ""))
            note(record.scope.account)
            return {"code": 0, "data": self._found(record, _checked(await request.json(), record))}
        except RagFlowError as error:
            return {"code": error.code, "data": False, "message": str(error)}

    def _allowed(self, id: str, authorization: str) -> Record:
        """The knowledge base, when the caller shows the key of its credential."""
        record = self._bases.resources.store.anywhere(self._bases.resources.kind.name, id)
        name = record.document.get("credentialName") if record else None
        if record is None or not name:
            raise RagFlowError(_UNAUTHORIZED, _WRONG_KEY)
        try:
            credential = self._credentials.current(record.scope, name)
        except CredentialError as error:
            raise RagFlowError(_UNAUTHORIZED, str(error)) from None
        key, shown = credential.secret, authorization.removeprefix("Bearer ")
        if not key or not hmac.compare_digest(shown.encode(), key.encode()):
            raise RagFlowError(_UNAUTHORIZED, _WRONG_KEY)
        self._credentials.note(record.scope, name, user(record))
        return record

    def _found(self, record: Record, body: Mapping[str, Any]) -> dict[str, Any]:
        first = record.document["providerSettings"]["datasetIds"][0]
        page, size = body.get("page", 1), body.get("page_size", 30)
        least = body.get("similarity_threshold") or 0.0
        accepts = has_values(_values(body.get("metadata_condition")))
        asked = first in body["dataset_ids"]
        most = body.get("top_k", _MOST)
        hits = self._bases.index.search(record.id, body["question"], most, accepts) if asked else []
        good = [hit for hit in hits if hit.score >= least]
        names = Counter((hit.document.id, _title(hit)) for hit in good)
        return {
            "chunks": [_chunk(hit, first) for hit in good[(page - 1) * size : page * size]],
            "doc_aggs": [{"doc_id": id, "doc_name": name, "count": count} for (id, name), count in names.items()],
            "total": len(good),
        }


def _chunk(hit: Hit, dataset: str) -> dict[str, Any]:
    return {
        "id": hit.id,
        "content": hit.text,
        "document_id": hit.document.id,
        "document_keyword": _title(hit),
        "dataset_id": dataset,
        "similarity": hit.score,
        "term_similarity": hit.score,
        "vector_similarity": 0.0,
        "metadata": dict(hit.document.metadata),
    }


def _title(hit: Hit) -> str:
    return hit.document.title or hit.document.id


def _checked(body: Any, record: Record) -> Mapping[str, Any]:
    if not is_object(body):
        raise RagFlowError(_BAD_ARGUMENT, "the body must be an object")
    if unknown := next((name for name in body if name not in _FIELDS), None):
        raise RagFlowError(_BAD_ARGUMENT, f"{unknown} is not known; known are {', '.join(_FIELDS)}")
    if not isinstance(body.get("question"), str) or not body["question"].strip():
        raise RagFlowError(_BAD_DATA, "question is required")
    if not is_list(body.get("dataset_ids")) or not body["dataset_ids"]:
        raise RagFlowError(_BAD_DATA, "dataset_ids is required")
    for name in ("page", "page_size", "top_k"):
        if type(body.get(name, 1)) is not int or not 1 <= body.get(name, 1) <= _MOST:
            raise RagFlowError(_BAD_ARGUMENT, f"{name} must be a whole number from 1 to {_MOST}")
    for name in ("similarity_threshold", "vector_similarity_weight"):
        if not isinstance(body.get(name, 0.0), (int, float)) or not 0 <= body.get(name, 0.0) <= 1:
            raise RagFlowError(_BAD_ARGUMENT, f"{name} must be a number from 0 to 1")
    _check_owned(body["dataset_ids"], record.document["providerSettings"]["datasetIds"])
    return body


def _check_owned(asked: Sequence[Any], owned: Sequence[str]) -> None:
    for dataset in asked:
        if dataset not in owned:
            raise RagFlowError(_BAD_DATA, f"the knowledge base has no data set {dataset}")


def _values(condition: Any) -> Sequence[tuple[str, Any]]:
    if condition is None:
        return ()
    conditions = condition.get("conditions") if is_object(condition) else None
    simple = is_list(conditions) and all(map(_is_equality, conditions)) and condition.get("logic", "and") == "and"
    if not simple:
        raise RagFlowError(_BAD_ARGUMENT, "the index of this machine takes conditions with `is` only, joined by `and`")
    return [(each["name"], each["value"]) for each in conditions or ()]


def _is_equality(condition: Any) -> bool:
    return (
        is_object(condition)
        and {"name", "value"} <= condition.keys()
        and condition.get("comparison_operator") in ("is", "=")
    )
