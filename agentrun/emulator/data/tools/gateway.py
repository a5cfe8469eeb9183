"""`/tools/{name}/...`: an MCP server, the functions of an HTTP API or the files of a skill, each behind its tool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from agentrun._core.values import section
from agentrun.emulator.auth import Tenant
from agentrun.emulator.bridge.plan import MESSAGES, SSE, STREAMABLE
from agentrun.emulator.control import tool_specs
from agentrun.emulator.control.tool_kinds import FUNCTIONCALL, MCP_REMOTE, OPENAPI_IMPORT, SKILL, SPEC, is_hosted
from agentrun.emulator.control.tools import Tools, key
from agentrun.emulator.control.toolsets import as_tool
from agentrun.emulator.data.proxy import Proxy
from agentrun.emulator.data.tools.endpoints import Endpoints
from agentrun.emulator.data.tools.injection import Showing, place_of
from agentrun.emulator.data.tools.servers import Forwarding, Server
from agentrun.emulator.http import Request, Response
from agentrun.emulator.outbound import OutboundCredentials
from agentrun.emulator.packages import Packages
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Record
from agentrun.emulator.tool_instances import ToolInstances
from agentrun.emulator.wire.envelope import ServiceError, conflict, not_found
from agentrun.emulator.wire.table import whole_number

PREFIX, LOGS_PREFIX, SETS_PREFIX = "/tools/", "/tool-logs/", "/toolsets/"
_DOWNLOAD = "/download"
_MOST_LINES = 1_000_000


class ToolGateway:
    """The gateway in front of the tools."""

    def __init__(
        self,
        tools: Tools,
        sets: Resources,
        credentials: OutboundCredentials,
        running: ToolInstances,
        proxy: Proxy,
        packages: Packages,
    ) -> None:
        self._tools = tools
        self._sets = sets
        self._credentials = credentials
        self._running = running
        self._proxy = proxy
        self._packages = packages
        self._endpoints = Endpoints()

    async def handle(self, request: Request, tenant: Tenant, request_id: str) -> int:
        """Answer a request; returns the status."""
        prefix = LOGS_PREFIX if request.path.startswith(LOGS_PREFIX) else PREFIX
        label, slash, below = request.path.removeprefix(prefix).partition("/")
        tool = self._tools.by_name(tenant.scope, unquote(label))
        if prefix == LOGS_PREFIX:
            return await self._logs(request, tool, request_id)
        if tool.status in ("CREATE_FAILED", "DELETING"):
            reason = tool.document.get("statusReason") or "see its logs"
            raise conflict(f"tool {tool.name} is {tool.status}: {reason}")
        kind = tool.document["toolType"]
        if kind == SKILL:
            return await self._download(request, tool, f"{slash}{below}", request_id)
        if kind == FUNCTIONCALL:
            return await self._function(request, tool, f"{slash}{below}", request_id)
        return await self._mcp(request, tool, f"{slash}{below}", request_id)

    async def handle_set(self, request: Request, caller: Callable[[str | None], Tenant], request_id: str) -> int:
        """Answer a request to the MCP server of a tool set, by its name or its uid; returns the status.

        `caller` tells who calls, given the account that the uid belongs to.
        """
        label, slash, below = request.path.removeprefix(SETS_PREFIX).partition("/")
        known = self._sets.store.anywhere(self._sets.kind.name, unquote(label))
        scope = caller(known.scope.account if known else None).scope
        found = self._sets.find(scope, unquote(label)) or self._sets.find_by_name(scope, unquote(label))
        if found is None:
            raise not_found(self._sets.kind.noun, unquote(label))
        tool = as_tool(found)
        if tool is None:
            raise conflict(f"tool set {found.name} is of an API: call that itself, at {found.name}'s internetUrl")
        return await self._mcp(request, tool, f"{slash}{below}", request_id)

    async def _logs(self, request: Request, tool: Record, request_id: str) -> int:
        tail = whole_number(request.query, "tail", _MOST_LINES, most=_MOST_LINES, least=0)
        lines = self._running.logs(key(tool), tail)
        await Response.json({"lines": lines}).send(request.send, request_id)
        return 200

    # Skills

    async def _download(self, request: Request, tool: Record, below: str, request_id: str) -> int:
        if below != _DOWNLOAD:
            raise _nothing_at(request, _DOWNLOAD)
        if request.method != "GET":
            raise ServiceError(405, "UnsupportedHTTPMethod", f"{request.path} does not take {request.method}")
        content = self._packages.content(tool.document["package"])
        await Response(content, media_type="application/zip").send(request.send, request_id)
        return 200

    # Functions

    async def _function(self, request: Request, tool: Record, below: str, request_id: str) -> int:
        document = tool.document
        api = tool_specs.read_openapi(document[SPEC], SPEC) if document.get(SPEC) else {}
        imported = document["createMethod"] == OPENAPI_IMPORT
        place = place_of(tool_specs.security_scheme(api)) if document.get("credentialName") else None
        server = _elsewhere(tool, tool_specs.server_url(api, SPEC)) if imported else await self._hosted(tool)
        showing = Showing(tool, self._credentials, place=place)
        return await Forwarding(self._proxy, request, request_id, showing).to(server, below)

    async def _hosted(self, tool: Record) -> Server:
        """The server of a tool that runs here; it is told the address that it knows itself by."""
        running = await self._running.ready(key(tool), tool)
        return Server(_what(tool), running.socket, f"http://127.0.0.1:{tool.document['port']}")

    # MCP servers

    async def _mcp(self, request: Request, tool: Record, below: str, request_id: str) -> int:
        if below not in (STREAMABLE, SSE, MESSAGES):
            raise _nothing_at(request, STREAMABLE, SSE)
        if is_hosted(tool.document) and not tool.document.get("port"):
            running = await self._running.ready(key(tool), tool)
            return await self._proxy.forward(request, running.socket, below, f"tool {tool.name}", request_id)
        owner = (tool.scope, tool.id)
        if below == MESSAGES:
            there = self._endpoints.find(owner, request.query.get("sessionId", ""))
            if there is None:
                raise ServiceError(404, "ERR_NOT_FOUND", f"there is no such session (any more): open {PREFIX}.../sse")
            request.query_string = ""
            return await Forwarding(self._proxy, request, request_id, self._showing(tool)).to(there, "")
        server, showing = await self._mcp_server(tool, below), self._showing(tool)
        if below == STREAMABLE:
            return await Forwarding(self._proxy, request, request_id, showing).to(server, "")
        with self._endpoints.naming(owner, server, request):
            return await Forwarding(self._proxy, request, request_id, showing, plain=True).to(server, "")

    def _showing(self, tool: Record) -> Showing:
        if tool.document["createMethod"] != MCP_REMOTE:
            return Showing(tool, self._credentials)
        return Showing(tool, self._credentials, tool_specs.read_mcp_server(tool.document[SPEC], SPEC).headers)

    async def _mcp_server(self, tool: Record, below: str) -> Server:
        if tool.document["createMethod"] != MCP_REMOTE:
            return (await self._hosted(tool)).below(below)
        remote = tool_specs.read_mcp_server(tool.document[SPEC], SPEC)
        self._check_proxied(tool, below, remote)
        return _elsewhere(tool, remote.url or "")

    def _check_proxied(self, tool: Record, below: str, remote: tool_specs.McpServer) -> None:
        config: Any = section(tool.document, "mcpConfig")
        if not config.get("proxyEnabled"):
            address = str(remote.url).partition("?")[0]  # A query may hold a key.
            raise conflict(f"tool {tool.name} is not proxied: call {address} yourself, or set mcpConfig.proxyEnabled")
        by_affinity = SSE if config.get("sessionAffinity") == "MCP_SSE" else STREAMABLE
        spoken = {tool_specs.SSE: SSE, tool_specs.STREAMABLE_HTTP: STREAMABLE}.get(remote.transport or "", by_affinity)
        if spoken != below:
            raise conflict(
                f"the server of tool {tool.name} is called at {PREFIX}{tool.name}{spoken}: transportType in "
                f"{SPEC}, or else mcpConfig.sessionAffinity, says which transport it speaks"
            )


def _what(tool: Record) -> str:
    return f"tool {tool.name}"


def _elsewhere(tool: Record, url: str) -> Server:
    return Server.at(_what(tool), url)


def _nothing_at(request: Request, *known: str) -> ServiceError:
    return ServiceError(404, "ERR_NOT_FOUND", f"there is nothing at {request.path}; the tool has {' and '.join(known)}")
