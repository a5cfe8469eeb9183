"""Knowledge bases: where documents are, and, for those that are on this machine, where they are searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentrun._core.names import nearest
from agentrun._core.values import is_list
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.knowledge.index import KnowledgeIndex
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, Scope, field_in, field_is
from agentrun.emulator.wire.envelope import invalid, unsupported

KIND = Kind(
    "KnowledgeBase",
    "knowledge base",
    "KnowledgeBase",
    "knowledgeBaseId",
    "knowledgeBaseName",
    "kb",
    secrets=("providerSettings.namespacePassword", "providerSettings.embeddingConfiguration.apiKey"),
    by_name=True,
)
RAGFLOW, BAILIAN, ADB, OTS = PROVIDERS = ("ragflow", "bailian", "adb", "ots")
RAGFLOW_PREFIX = "/ragflow/"
# The contract leaves settings open; without these no provider can be asked.
_NEEDED: Mapping[str, Mapping[str, type]] = {
    RAGFLOW: {"baseUrl": str, "datasetIds": list},
    BAILIAN: {"workspaceId": str, "indexIds": list},
    ADB: {"dbInstanceId": str, "namespace": str, "namespacePassword": str},
    OTS: {"otsInstanceName": str},
}


class KnowledgeBases:
    """The operations on knowledge bases, and their documents on this machine."""

    def __init__(self, resources: Resources, credentials: Resources, index: KnowledgeIndex) -> None:
        self.resources = resources
        self.index = index
        self._credentials = credentials
        self.public_url = ""

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateKnowledgeBase": self.create,
            "GetKnowledgeBase": self.get,
            "UpdateKnowledgeBase": self.update,
            "DeleteKnowledgeBase": self.delete,
            "ListKnowledgeBases": self.list,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Add a knowledge base."""
        body = call.body
        if body["provider"] not in PROVIDERS:
            raise invalid(f"provider must be one of {', '.join(PROVIDERS)}, not {body['provider']}")
        self._check(call, body["provider"])
        return self._answered(self.resources.create(call.tenant, body["knowledgeBaseName"], body))

    async def get(self, call: Call) -> dict[str, Any]:
        """The whole knowledge base, with its passwords."""
        return self._answered(self.resources.get(call.scope, call.label))

    async def update(self, call: Call) -> dict[str, Any]:
        """Change what is given; settings are replaced as a whole."""
        record = self.resources.get(call.scope, call.label)
        self._check(call, record.document["provider"])
        return self._answered(self.resources.update(record, call.body))

    async def delete(self, call: Call) -> dict[str, Any]:
        """Remove a knowledge base, and the documents that it has on this machine."""
        shown = self._answered(self.resources.delete(self.resources.get(call.scope, call.label)))
        self.index.drop(shown["knowledgeBaseId"])
        return shown

    async def list(self, call: Call) -> dict[str, Any]:
        """One page, with passwords masked."""
        query = call.query
        filters = [
            *field_is("provider", query.get("provider")),
            *field_is("workspaceId", query.get("workspaceId")),
            *field_in("workspaceId", query.get("workspaceIds")),
        ]
        page = self.resources.page(call.scope, query, filters)
        return {**page, "items": [self._with_endpoint(item) for item in page["items"]]}

    # Documents on this machine

    def with_documents(self, scope: Scope, provider: str) -> Sequence[Record]:
        """The knowledge bases of an account and a provider that have documents here."""
        kept = self.resources.children(scope, "")
        return [record for record in kept if record.document["provider"] == provider and self.index.has(record.id)]

    def for_documents(self, scope: Scope, name: str) -> Record:
        """A knowledge base that can be given documents; raises ServiceError (404, 501)."""
        record = self.resources.get(scope, name)
        if record.document["provider"] == OTS:
            raise unsupported(
                f"knowledge base {name} is searched by the protocol of TableStore, which the emulator does not speak; "
                f"give a knowledge base of provider {RAGFLOW}, {BAILIAN} or {ADB} the documents"
            )
        return record

    def endpoint(self, id: str, provider: str) -> str | None:
        """Where a knowledge base is searched in its provider's way; None while it has no documents here."""
        if not self.index.has(id):
            return None
        return f"{self.public_url}{RAGFLOW_PREFIX}{id}" if provider == RAGFLOW else self.public_url

    def forget(self, account: str | None) -> None:
        """Drop the documents of an account, or of all; must come before their knowledge bases are forgotten."""
        for record in self.resources.store.every(KIND.name):
            if account in (None, record.scope.account):
                self.index.drop(record.id)

    # Answers and checks

    def _answered(self, record: Record) -> dict[str, Any]:
        return self._with_endpoint(self.resources.shown(record))

    def _with_endpoint(self, shown: dict[str, Any]) -> dict[str, Any]:
        """What is shown, with where documents of this machine are searched; the cloud has no such field."""
        endpoint = self.endpoint(shown["knowledgeBaseId"], shown["provider"])
        return {**shown, "endpoint": endpoint} if endpoint else shown

    def _check(self, call: Call, provider: str) -> None:
        credential = call.body.get("credentialName")
        if credential and self._credentials.find_by_name(call.scope, credential) is None:
            raise invalid(f"credentialName: there is no credential {credential}; create it first")
        if "providerSettings" in call.body:
            _check_settings(call.body["providerSettings"], provider)


def _check_settings(settings: Mapping[str, Any], provider: str) -> None:
    """Refuse settings with which the provider cannot be asked."""
    for name, kind in _NEEDED[provider].items():
        value = settings.get(name)
        if not value:
            found = nearest(name, settings.keys() - _NEEDED[provider].keys())
            meant = f"; is {found} meant for it?" if found else ""
            raise invalid(f"providerSettings.{name} is required for provider {provider}{meant}")
        if not isinstance(value, kind) or (is_list(value) and not all(isinstance(each, str) for each in value)):
            wanted = "a string" if kind is str else "a list of strings"
            raise invalid(f"providerSettings.{name} must be {wanted}")
