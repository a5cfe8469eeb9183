"""`/templates/{name}/mcp` and `/sse`: the MCP server that a template is while it is active."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TypeAlias
from urllib.parse import unquote

from agentrun._sandbox_tools.definitions import ToolDescription
from agentrun._serving.asgi import Message, Send
from agentrun.emulator.auth import Tenant
from agentrun.emulator.bridge.app import BridgeApp
from agentrun.emulator.bridge.plan import MESSAGES, SSE, STREAMABLE, Rules
from agentrun.emulator.bridge.session import Ended, Received
from agentrun.emulator.bridge.sessions import Sessions
from agentrun.emulator.control.sandboxes import Sandboxes
from agentrun.emulator.control.templates import ACTIVE, enabled_tools
from agentrun.emulator.data.asking import Asking
from agentrun.emulator.data.template_mcp.sandbox import SessionSandbox
from agentrun.emulator.data.template_mcp.server import SandboxServer
from agentrun.emulator.http import Request, emulator_marked
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Record, Scope
from agentrun.emulator.wire.envelope import ServiceError, conflict, not_found

PREFIX = "/templates/"
Key: TypeAlias = tuple[Scope, str]


class TemplateGateway:
    """The sessions of all templates."""

    def __init__(self, templates: Resources, sandboxes: Sandboxes) -> None:
        self._templates = templates
        self._sandboxes = sandboxes
        self._asking = Asking()
        self._sessions: dict[Key, Sessions] = {}

    async def handle(self, request: Request, tenant: Tenant, request_id: str) -> int:
        """Answer a request; returns the status."""
        label, slash, below = request.path.removeprefix(PREFIX).partition("/")
        path = f"{slash}{below}"
        if path not in (STREAMABLE, SSE, MESSAGES):
            raise ServiceError(404, "ERR_NOT_FOUND", f"there are {PREFIX}{{name}}/mcp and /sse, and no {request.path}")
        template = self._templates.find_by_name(tenant.scope, unquote(label))
        if template is None:
            raise not_found("template", unquote(label))
        if template.document.get("mcpState", {}).get("status") != ACTIVE or template.status == "DELETING":
            raise conflict(f"template {template.name} is no MCP server: activate it (ActivateTemplateMCP)")
        status: list[int] = []
        app = BridgeApp(self._sessions_of(template, tenant))
        await app({**request.scope, "path": path}, request.receive, _noting(request.send, request_id, status))
        if not status:
            raise ConnectionAbortedError("the caller went away before it was answered")
        return status[0]

    async def end(self, template: Record) -> None:
        """End the sessions of a template."""
        sessions = self._sessions.pop((template.scope, template.id), None)
        if sessions is not None:
            await sessions.close()

    async def reset(self, account: str | None = None) -> None:
        """End the sessions of one account, or all."""
        keys = [key for key in self._sessions if account in (None, key[0].account)]
        await asyncio.gather(*(self._sessions.pop(key).close() for key in keys))

    async def close(self) -> None:
        """End everything."""
        await self.reset()
        self._asking.close()

    def _sessions_of(self, template: Record, tenant: Tenant) -> Sessions:
        key = (template.scope, template.id)
        found = self._sessions.get(key)
        if found is None:
            tools = enabled_tools(template.document)
            document = template.document
            rules = Rules(
                idle=float(document["sandboxIdleTimeoutInSeconds"]), life=float(document["sandboxTTLInSeconds"])
            )
            start = partial(self._start, tenant, template.name, tools)
            found = self._sessions[key] = Sessions(start, rules)
        return found

    async def _start(
        self, tenant: Tenant, name: str, tools: list[ToolDescription], received: Received, ended: Ended
    ) -> SandboxServer:
        return SandboxServer(SessionSandbox(self._sandboxes, self._asking, tenant, name), tools, received)


def _noting(send: Send, request_id: str, status: list[int]) -> Send:
    """The way to the caller, with the emulator's headers on the answer; its status is noted."""
    marked = emulator_marked(send)
    mark = (b"x-acs-request-id", request_id.encode())

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])
            message = {**message, "headers": [*message["headers"], mark]}
        await marked(message)

    return noting
