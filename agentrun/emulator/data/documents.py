"""The documents of knowledge bases on this machine: put in, listed, taken out. The cloud has nothing of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from agentrun._core.values import is_list, is_object
from agentrun.emulator.auth import Tenant
from agentrun.emulator.control.knowledgebases import KnowledgeBases
from agentrun.emulator.http import Request, Response
from agentrun.emulator.store import Record
from agentrun.emulator.wire.envelope import ServiceError, invalid
from agentrun.emulator.wire.schema import nearest

PREFIX = "/knowledgebases/"
_FIELDS = ("text", "id", "title", "metadata")


class Documents:
    """Answers what is below `/knowledgebases/{name}/documents`."""

    def __init__(self, bases: KnowledgeBases) -> None:
        self._bases = bases

    async def handle(self, request: Request, tenant: Tenant, request_id: str) -> int:
        """Answer a request; returns the status. Raises ServiceError."""
        name, document_id = _named(request.path)
        record = self._bases.for_documents(tenant.scope, name)
        answer = await self._answer(request, record, document_id)
        await Response.json(answer).send(request.send, request_id)
        return 200

    async def _answer(self, request: Request, record: Record, document_id: str) -> dict[str, Any]:
        index = self._bases.index
        if request.method == "DELETE" and document_id:
            return index.remove(record.id, document_id).to_json()
        if request.method == "GET" and not document_id:
            return {"documents": [each.to_json() for each in index.documents(record.id)]}
        if request.method == "POST" and not document_id:
            return self._add(record, await request.json())
        allowed = "DELETE" if document_id else "GET, POST"
        raise ServiceError(405, "UnsupportedHTTPMethod", f"{request.path} takes {allowed}, not {request.method}")

    def _add(self, record: Record, body: Any) -> dict[str, Any]:
        given = body.get("documents") if is_object(body) else None
        if not is_list(given) or not given or set(body) != {"documents"}:
            raise invalid('the body must be {"documents": [...]} with at least one document')
        for place, document in enumerate(given):
            _check(document, f"documents[{place}]")
        added = [
            self._bases.index.add(
                record.id, each.get("id"), each["text"], each.get("title"), each.get("metadata") or {}
            )
            for each in given
        ]
        endpoint = self._bases.endpoint(record.id, record.document["provider"])
        return {"documents": [each.to_json() for each in added], "endpoint": endpoint}


def _named(path: str) -> tuple[str, str]:
    """The knowledge base and the document that a path is about; no document for all of them."""
    name, collection, *below = [unquote(part) for part in path.removeprefix(PREFIX).split("/")] + [""]
    if collection != "documents" or len(below) > 2:
        raise ServiceError(404, "InvalidAction.NotFound", f"below {PREFIX}{{name}} there are only documents")
    return name, below[0]


def _check(document: Any, path: str) -> None:
    """Refuse what is no document, before any of its neighbours is put in."""
    if not is_object(document):
        raise invalid(f"{path} must be an object")
    for name in document:
        if name not in _FIELDS:
            raise invalid(f"{path}.{name} is not a field of a document: {nearest(name, _FIELDS)}")
    if not isinstance(document.get("text"), str) or not document["text"].strip():
        raise invalid(f"{path}.text must be a text that is not empty")
    for name in ("id", "title"):
        if not isinstance(document.get(name, "-"), str) or not document.get(name, "-"):
            raise invalid(f"{path}.{name} must be a text that is not empty")
    if not is_object(document.get("metadata", {})):
        raise invalid(f"{path}.metadata must be an object")
