"""Tool sets, by an API of their own: an OpenAPI document or an MCP server, and what an agent can call of it.

How the service creates and changes them is not public; here they are written as they are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agentrun._core.values import section
from agentrun.emulator.control import tool_specs
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.control.tool_kinds import MCP, MCP_LOCAL, MCP_REMOTE, SPEC
from agentrun.emulator.instances import LATEST, Key
from agentrun.emulator.mcp_probe import McpProbe
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, field_is
from agentrun.emulator.tool_instances import ToolInstances
from agentrun.emulator.wire.envelope import invalid
from agentrun.emulator.wire.table import DEVS_CONTRACT

_DETAIL = "spec.schema.detail"
KIND = Kind(
    "Toolset",
    "tool set",
    "Toolset",
    "uid",
    "name",
    "ts",
    updated_field="updatedTime",
    secrets=(_DETAIL, "spec.authConfig.parameters.apiKeyParameter.value"),
    references=(_DETAIL,),
    by_name=True,
    contract=DEVS_CONTRACT,
)
OPENAPI = "OpenAPI"
PLACES = ("header", "query")
_LABEL = re.compile(r"[\w./-]+")
_READ_ONLY = ("uid", "createdTime", "generation", "status", "kind", "name")


class Toolsets:
    """The operations on tool sets."""

    def __init__(self, resources: Resources, running: ToolInstances) -> None:
        self.resources = resources
        self._running = running
        self._probe = McpProbe()
        self.public_url = ""

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateToolset": self.create,
            "GetToolset": self.get,
            "UpdateToolset": self.update,
            "PublishToolset": self.publish,
            "DeleteToolset": self.delete,
            "ListToolsets": self.list,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Add a tool set; an MCP server that is a program must come up, and is asked for its tools."""
        _check(call.body)
        record = self.resources.create(call.tenant, call.body["name"], {**call.body, "generation": 1})
        try:
            return self._shown(await self._settled(record))
        except BaseException:
            self.resources.delete(record)
            await self._running.replace(_key(record))
            raise

    async def get(self, call: Call) -> dict[str, Any]:
        """One tool set, with its secrets."""
        return self._shown(self.resources.get(call.scope, call.label))

    async def update(self, call: Call) -> dict[str, Any]:
        """Change what is given; the specification as a whole."""
        record = self.resources.get(call.scope, call.label)
        changes = {name: value for name, value in call.body.items() if name not in _READ_ONLY}
        whole = {**record.document, **changes}
        _check(whole)
        changed = self.resources.update(record, {**changes, "generation": record.document["generation"] + 1})
        await self._running.replace(_key(changed))
        return self._shown(await self._settled(changed))

    async def publish(self, call: Call) -> dict[str, Any]:
        """Make a tool set what callers get, as it is now: its server starts anew, and its tools are asked for again.

        An update does this by itself here, so what is left is a server whose tools have changed.
        """
        record = self.resources.get(call.scope, call.label)
        changed = self.resources.update(record, {"generation": record.document["generation"] + 1})
        await self._running.replace(_key(changed))
        return self._shown(await self._settled(changed))

    async def delete(self, call: Call) -> dict[str, Any]:
        """Remove a tool set, and stop its server."""
        record = self.resources.get(call.scope, call.label)
        self.resources.delete(record)
        await self._running.replace(_key(record))
        return self._shown(record)

    async def list(self, call: Call) -> dict[str, Any]:
        """One page of tool sets, with secrets masked."""
        filters = [*_with_keyword(call.query.get("keyword")), *_with_labels(call.query.get("labelSelector"))]
        page = self.resources.page(call.scope, call.query, filters)
        items = [self._listed(call, item) for item in page["items"]]
        numbers = {"pageNumber": page["pageNumber"], "pageSize": page["pageSize"], "totalCount": page["total"]}
        return {"data": items, **numbers}

    async def close(self) -> None:
        """Close connections."""
        self._probe.close()

    def _listed(self, call: Call, masked: dict[str, Any]) -> dict[str, Any]:
        record = self.resources.get(call.scope, masked["name"])
        schema = record.document["spec"]["schema"]
        hidden = {**schema, "detail": tool_specs.masked(schema["detail"])}
        return {**self._shown(record), "spec": {**masked["spec"], "schema": hidden}}

    async def _settled(self, record: Record) -> Record:
        """A tool set whose server, if it is a program, has told its tools. Raises ServiceError (503)."""
        tool = as_tool(record)
        if tool is None or tool.document["createMethod"] != MCP_LOCAL:
            return record
        running = await self._running.ready(_key(record), tool)
        settled = record.with_document(tools=await self._probe.tools(running.socket))
        self.resources.save(settled)
        return settled

    def _shown(self, record: Record) -> dict[str, Any]:
        document = record.document
        times = {"createdTime": document["createdAt"], "kind": "Toolset"}
        status = {
            "phase": record.status,
            "observedGeneration": document["generation"],
            "observedTime": document[KIND.updated_field],
            "outputs": self._outputs(record),
        }
        return {**self.resources.shown(record), **times, "status": status}

    def _outputs(self, record: Record) -> dict[str, Any]:
        schema = record.document["spec"]["schema"]
        if schema["type"] == OPENAPI:
            api = tool_specs.read_openapi(schema["detail"], _DETAIL)
            # Calls go to the API itself; the emulator is not in between.
            return {
                "urls": {"internetUrl": tool_specs.server_url(api, _DETAIL)},
                "openApiTools": [_api_tool(*operation) for operation in tool_specs.operations(api)],
            }
        server = tool_specs.read_mcp_server(schema["detail"], _DETAIL)
        # The official client of tool sets speaks SSE to whatever is there.
        transport = server.transport or (tool_specs.SSE if server.command else tool_specs.STREAMABLE_HTTP)
        below = "sse" if transport == tool_specs.SSE else "mcp"
        config = {"url": f"{self.public_url}/toolsets/{record.id}/{below}", "transport": transport}
        told = {"tools": record.document["tools"]} if "tools" in record.document else {}
        return {"mcpServerConfig": config, **told}


def as_tool(record: Record) -> Record | None:
    """The MCP server of a tool set as the tool that it would be; None for one of an API."""
    spec = record.document["spec"]
    if spec["schema"]["type"] != MCP:
        return None
    detail = spec["schema"]["detail"]
    method = MCP_LOCAL if tool_specs.read_mcp_server(detail, _DETAIL).command else MCP_REMOTE
    tool = {"toolType": MCP, "createMethod": method, SPEC: detail, "mcpConfig": {"proxyEnabled": True}}
    return record.with_document(**tool)


def _key(record: Record) -> Key:
    return Key(record.scope, record.id, LATEST)


def _check(document: Mapping[str, Any]) -> None:
    schema = document["spec"]["schema"]
    kind, detail = schema["type"], schema["detail"]
    if kind == OPENAPI:
        tool_specs.server_url(tool_specs.read_openapi(detail, _DETAIL), _DETAIL)
    elif kind == MCP:
        server = tool_specs.read_mcp_server(detail, _DETAIL)
        if not (server.url or server.command):
            raise invalid(f"{_DETAIL} needs the url or the command of its server")
    else:
        raise invalid(f"spec.schema.type must be {OPENAPI} or {MCP}, not {kind}")
    parameter = section(section(section(document["spec"], "authConfig"), "parameters"), "apiKeyParameter")
    if parameter and parameter.get("in") not in PLACES:
        raise invalid(f"spec.authConfig.parameters.apiKeyParameter.in must be one of {', '.join(PLACES)}")


def _api_tool(method: str, path: str, operation: Mapping[str, Any]) -> dict[str, str]:
    name = str(operation.get("operationId") or re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_"))
    return {"method": method, "path": path, "toolId": name, "toolName": name}


def _with_keyword(keyword: str | None) -> list[tuple[str, tuple[Any, ...]]]:
    if not keyword:
        return []
    condition = "(instr(name, ?) OR instr(coalesce(json_extract(document, '$.description'), ''), ?))"
    return [(condition, (keyword, keyword))]


def _with_labels(selector: str | None) -> list[tuple[str, tuple[Any, ...]]]:
    """The filters of `a=b,c=d`. Raises ServiceError (400)."""
    filters: list[tuple[str, tuple[Any, ...]]] = []
    for part in (selector or "").split(","):
        name, equals, value = part.strip().partition("=")
        if not part.strip():
            continue
        if not equals or not _LABEL.fullmatch(name) or not value:
            raise invalid(f"labelSelector must be like name=value,other=value, not {selector!r:.100}")
        filters += field_is(f'labels."{name}"', value)
    return filters
