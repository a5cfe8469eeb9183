"""AnalyticDB's retrieval: `POST /` with the action QueryContent, the query in a form, signed."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from agentrun.emulator.auth import Authenticator, Tenant
from agentrun.emulator.control.knowledgebases import ADB, KnowledgeBases
from agentrun.emulator.data.retrieval.matching import as_text, has_values
from agentrun.emulator.data.retrieval.versions import check_version
from agentrun.emulator.http import Request
from agentrun.emulator.knowledge.index import Hit
from agentrun.emulator.store import Record
from agentrun.emulator.wire.envelope import ServiceError, forbidden, invalid, unsupported
from agentrun.emulator.wire.schema import nearest
from agentrun.emulator.wire.table import whole_number

ACTION = "QueryContent"
VERSION = "2016-05-03"
_REQUIRED = ("Collection", "DBInstanceId", "Namespace", "NamespacePassword", "RegionId")
# Those after the offset ask for what an index of words has not, and change nothing.
_PARAMETERS = (
    *_REQUIRED,
    "TopK",
    "Offset",
    "Metrics",
    "UrlExpiration",
    "UseFullTextRetrieval",
    "RerankFactor",
    "RerankModel",
    "RecallWindow",
    "HybridSearch",
    "HybridSearchArgs",
)
_FORM = ("Content", "Filter")
_EQUALITY = re.compile(r"""\s*"?([A-Za-z_]\w*)"?\s*=\s*(?:'((?:[^']|'')*)'|(-?\d+(?:\.\d+)?|true|false))\s*""", re.I)
_FULL_TEXT = 2


class ADBRetrieval:
    """Answers for AnalyticDB for PostgreSQL."""

    def __init__(self, bases: KnowledgeBases, auth: Authenticator) -> None:
        self._bases = bases
        self._auth = auth

    @staticmethod
    def serves(request: Request) -> bool:
        """Whether a request is for this API."""
        return request.path == "/" and request.method == "POST"

    async def answer(self, request: Request, note: Callable[[str], None]) -> dict[str, Any]:
        """The answer to a search; raises ServiceError."""
        tenant = await self._auth.control(request, ACTION)
        note(tenant.scope.account)
        check_version(request, VERSION)
        query, form = request.query, _form(await request.body())
        _check(query, form)
        record = self._collection(tenant, query)
        most, offset = whole_number(query, "TopK", 10, most=1000), whole_number(query, "Offset", 0, most=10**6, least=0)
        accepts = has_values(_values(form.get("Filter", "")))
        hits = self._bases.index.search(record.id, form["Content"], offset + most, accepts)[offset:]
        return {"Status": "success", "Message": "success", "Matches": {"MatchList": [_match(hit) for hit in hits]}}

    def _collection(self, tenant: Tenant, query: Mapping[str, str]) -> Record:
        """The knowledge base that a collection is; the password of its namespace must be the caller's."""
        named = (query["DBInstanceId"], query["Namespace"], query["Collection"])
        for record in self._bases.with_documents(tenant.scope, ADB):
            found = self._bases.resources.get(tenant.scope, record.name)
            settings = found.document["providerSettings"]
            if (settings["dbInstanceId"], settings["namespace"], found.name) == named:
                if not hmac.compare_digest(settings["namespacePassword"].encode(), query["NamespacePassword"].encode()):
                    raise forbidden("Namespace.PasswordInvalid", f"the password of namespace {named[1]} is another one")
                return found
        raise ServiceError(
            404,
            "Collection.NotFound",
            f"collection {named[2]} of namespace {named[1]} in {named[0]} has no documents on this machine: create a "
            "knowledge base of that name and call its add_documents",
        )


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _check(query: Mapping[str, str], form: Mapping[str, str]) -> None:
    for given, known, kind in ((query, _PARAMETERS, "query parameter"), (form, _FORM, "field of the form")):
        for name in given:
            if name not in known:
                raise invalid(f"{kind} {name} is unknown: {nearest(name, known)}")
    for name in _REQUIRED:
        if not query.get(name):
            raise invalid(f"query parameter {name} is required")
    if not form.get("Content", "").strip():
        raise invalid("the form must have a Content")


def _values(condition: str) -> list[tuple[str, str]]:
    """The values that a condition wants; of SQL only equalities joined by AND are read."""
    values: list[tuple[str, str]] = []
    rest = condition.strip()
    while rest:
        rest = rest.lstrip("( ")
        found = _EQUALITY.match(rest)
        if found is None:
            raise unsupported(
                f"the index of this machine reads conditions such as a = 'b' AND c = 'd', not {rest[:80]}"
            )
        name, text, number = found.groups()
        values.append((name, number if text is None else text.replace("''", "'")))
        rest = rest[found.end() :].lstrip(") ")
        if rest and not rest[:4].upper() == "AND ":
            raise unsupported(f"the index of this machine joins conditions by AND only, not by {rest[:20]}")
        rest = rest[4:]
    return values


def _match(hit: Hit) -> dict[str, Any]:
    document = hit.document
    return {
        "Id": hit.id,
        "Content": hit.text,
        "Score": hit.score,
        "FileName": document.title or document.id,
        "Metadata": {name: as_text(value) for name, value in document.metadata.items()},
        "RetrievalSource": _FULL_TEXT,
    }
