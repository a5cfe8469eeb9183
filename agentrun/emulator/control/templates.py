"""Templates: what a sandbox is made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._serving.values import section
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, field_in, field_is, matches
from agentrun.emulator.wire.envelope import invalid

KIND = Kind("Template", "template", "Template", "templateId", "templateName", "tpl", by_name=True)
TYPES = ("CodeInterpreter", "Browser", "AllInOne", "CustomImage")
BROWSER_DISK = 10240
SMALLEST_CPU = 2
IDLE_TIMEOUT, LONGEST_LIFE = 1800, 21600
# The service's answers leave the description out and write these numbers as text.
_AS_TEXT = ("sandboxIdleTimeoutInSeconds", "sandboxTTLInSeconds")


def _check(document: Mapping[str, Any]) -> None:
    kind = document["templateType"]
    if kind not in TYPES:
        raise invalid(f"templateType must be one of {', '.join(TYPES)}, not {kind}")
    if document["cpu"] < SMALLEST_CPU:
        raise invalid(f"cpu must be at least {SMALLEST_CPU}, not {document['cpu']}")
    if kind in ("Browser", "AllInOne") and document.get("diskSize") != BROWSER_DISK:
        raise invalid(f"diskSize must be {BROWSER_DISK} for a {kind} template")
    if kind == "CustomImage" and not section(document, "containerConfiguration").get("image"):
        raise invalid("containerConfiguration.image is required for a CustomImage template")
    if kind == "CodeInterpreter" and document["networkConfiguration"].get("networkMode") == "PRIVATE":
        raise invalid("networkConfiguration.networkMode PRIVATE is not possible for a CodeInterpreter template")


class Templates:
    """The operations on templates."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateTemplate": self.create,
            "GetTemplate": self.get,
            "UpdateTemplate": self.update,
            "DeleteTemplate": self.delete,
            "ListTemplates": self.list,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Add a template."""
        defaults = {"sandboxIdleTimeoutInSeconds": IDLE_TIMEOUT, "sandboxTTLInSeconds": LONGEST_LIFE}
        document: dict[str, Any] = {**defaults, **call.body}
        _check(document)
        return self._shown(self._resources.create(call.tenant, document["templateName"], document))

    async def get(self, call: Call) -> dict[str, Any]:
        """One template."""
        return self._shown(self._resources.get(call.scope, call.label))

    async def update(self, call: Call) -> dict[str, Any]:
        """Change what is given; sandboxes that run keep what they were made from."""
        record = self._resources.get(call.scope, call.label)
        _check({**record.document, **call.body})
        return self._shown(self._resources.update(record, call.body))

    async def delete(self, call: Call) -> dict[str, Any]:
        """Remove a template."""
        return self._shown(self._resources.delete(self._resources.get(call.scope, call.label)))

    async def list(self, call: Call) -> dict[str, Any]:
        """One page of templates."""
        query = call.query
        filters = [
            *matches("name", query.get("templateName")),
            *matches("status", query.get("status")),
            *field_is("templateType", query.get("templateType")),
            *field_is("workspaceId", query.get("workspaceId")),
            *field_in("workspaceId", query.get("workspaceIds")),
        ]
        page = self._resources.page(call.scope, query, filters)
        return {**page, "items": [_as_answered(item) for item in page["items"]]}

    def _shown(self, record: Record) -> dict[str, Any]:
        return _as_answered(self._resources.shown(record))


def _as_answered(shown: dict[str, Any]) -> dict[str, Any]:
    texts = {name: str(shown[name]) for name in _AS_TEXT if name in shown}
    return {name: value for name, value in {**shown, **texts}.items() if name != "description"}
