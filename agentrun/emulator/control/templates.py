"""Templates: what a sandbox is made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from agentrun._core.values import is_list, section
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, field_in, field_is, matches
from agentrun.emulator.wire.envelope import conflict, invalid, unsupported
from agentrun.emulator.wire.schema import nearest

if TYPE_CHECKING:
    from agentrun._sandbox_tools.definitions import ToolDescription

KIND = Kind(
    "Template",
    "template",
    "Template",
    "templateId",
    "templateName",
    "tpl",
    references=("environmentVariables",),
    by_name=True,
)
TYPES = ("CodeInterpreter", "Browser", "AllInOne", "CustomImage")
SSE, STREAMABLE_HTTP = "sse", "streamable-http"
# The states of a template's MCP server.
ACTIVE, STOPPED = "READY", "STOPPED"
_NOT_SERVED = ("process_tty",)
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
        self.public_url = ""
        # Told of a template whose MCP server is over, or is to be another one.
        self.end_sessions: Callable[[Record], Awaitable[None]] = _nothing_to_end

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateTemplate": self.create,
            "GetTemplate": self.get,
            "UpdateTemplate": self.update,
            "DeleteTemplate": self.delete,
            "ListTemplates": self.list,
            "ActivateTemplateMCP": self.activate_mcp,
            "StopTemplateMCP": self.stop_mcp,
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
        """Remove a template, and end the sessions of its MCP server."""
        record = self._resources.get(call.scope, call.label)
        leaving = self._resources.delete(record)
        await self.end_sessions(record)
        return self._shown(leaving)

    async def activate_mcp(self, call: Call) -> dict[str, Any]:
        """Make a template an MCP server; one that it is already ends first."""
        record = self._resources.get(call.scope, call.label)
        options = {"transport": STREAMABLE_HTTP, **call.body}
        _check_mcp(record, options)
        changed = record.with_document(mcpOptions=options, mcpState={"status": ACTIVE})
        self._resources.save(changed)
        await self.end_sessions(changed)
        return self._shown(changed)

    async def stop_mcp(self, call: Call) -> dict[str, Any]:
        """End a template's MCP server, its sessions and their sandboxes."""
        record = self._resources.get(call.scope, call.label)
        changed = record.with_document(mcpState={"status": STOPPED}) if "mcpState" in record.document else record
        self._resources.save(changed)
        await self.end_sessions(changed)
        return self._shown(changed)

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
        return {**page, "items": [self._as_answered(item) for item in page["items"]]}

    def _shown(self, record: Record) -> dict[str, Any]:
        return self._as_answered(self._resources.shown(record))

    def _as_answered(self, shown: dict[str, Any]) -> dict[str, Any]:
        if section(shown, "mcpState").get("status") == ACTIVE:
            # Not stored, because the emulator's port may be another one next time.
            below = "sse" if shown["mcpOptions"]["transport"] == SSE else "mcp"
            address = f"{self.public_url}/templates/{quote(shown['templateName'], safe='')}/{below}"
            shown = {**shown, "mcpState": {**shown["mcpState"], "accessEndpoint": address}}
        return _as_answered(shown)


async def _nothing_to_end(template: Record) -> None:
    return None


def _check_mcp(record: Record, options: Mapping[str, Any]) -> None:
    kind = record.document["templateType"]
    if record.status == "DELETING":
        raise conflict(f"template {record.name} is being deleted")
    if kind != "CodeInterpreter":
        raise unsupported(f"a {kind} template is no MCP server in the emulator, which has only CodeInterpreter's tools")
    if options["transport"] not in (SSE, STREAMABLE_HTTP):
        raise invalid(f"transport must be {SSE} or {STREAMABLE_HTTP}, not {options['transport']}")
    enabled: Any = options.get("enabledTools") or []
    if not is_list(enabled) or not all(isinstance(name, str) for name in enabled):
        raise invalid("enabledTools must be a list of the names of tools")
    if absent := [name for name in enabled if name in _NOT_SERVED]:
        raise unsupported(f"enabledTools: {absent[0]} is not served: a terminal is a websocket, which no tool can give")
    known = [tool.name for tool in _definitions()[0]]
    if unknown := [name for name in enabled if name not in known]:
        raise invalid(f"enabledTools: there is no tool {unknown[0]}: {nearest(unknown[0], known)}")


def enabled_tools(document: Mapping[str, Any]) -> list[ToolDescription]:
    """The tools of a template's MCP server: those that are named, or all but the other names of the same tools."""
    named = section(document, "mcpOptions").get("enabledTools")
    every, aliases = _definitions()
    return [tool for tool in every if (tool.name in named if named else tool.name not in aliases)]


def _definitions() -> tuple[Sequence[ToolDescription], Container[str]]:
    """All tools, and the names that are further names of others."""
    from agentrun._sandbox_tools.definitions import ALIASES, CODE_INTERPRETER  # with the first MCP server

    return CODE_INTERPRETER, ALIASES


def _as_answered(shown: dict[str, Any]) -> dict[str, Any]:
    texts = {name: str(shown[name]) for name in _AS_TEXT if name in shown}
    return {name: value for name, value in {**shown, **texts}.items() if name != "description"}
