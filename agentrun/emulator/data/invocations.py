"""Calls of agent runtimes: `/agent-runtimes/{name}/endpoints/{endpoint}/invocations/...` goes to the agent itself."""

from __future__ import annotations

from urllib.parse import unquote

from agentrun.emulator.auth import Tenant
from agentrun.emulator.control.endpoints import Endpoints
from agentrun.emulator.control.runtimes import Runtimes
from agentrun.emulator.data.proxy import Proxy
from agentrun.emulator.http import Request, Response
from agentrun.emulator.instances import Instances
from agentrun.emulator.wire.envelope import ServiceError, conflict
from agentrun.emulator.wire.table import whole_number

PREFIX = "/agent-runtimes/"
_MOST_LINES = 1_000_000


class Invocations:
    """The gateway in front of the agents."""

    def __init__(self, runtimes: Runtimes, endpoints: Endpoints, instances: Instances, proxy: Proxy) -> None:
        self._runtimes = runtimes
        self._endpoints = endpoints
        self._instances = instances
        self._proxy = proxy

    async def handle(self, request: Request, tenant: Tenant, request_id: str) -> int:
        """Answer a request; returns the status."""
        parts = request.path.removeprefix(PREFIX).split("/", 4)
        if len(parts) < 4 or parts[1] != "endpoints" or parts[3] not in ("invocations", "logs"):
            raise ServiceError(
                404, "ERR_NOT_FOUND", f"{PREFIX}{{name}}/endpoints/{{endpoint}}/invocations/... is not {request.path}"
            )
        name, endpoint = unquote(parts[0]), unquote(parts[2])
        if parts[3] == "logs":
            return await self._logs(request, tenant, name, endpoint, request_id)
        return await self._invoke(
            request, tenant, name, endpoint, f"/{parts[4]}" if len(parts) > 4 else "/", request_id
        )

    async def _invoke(
        self, request: Request, tenant: Tenant, name: str, endpoint: str, path: str, request_id: str
    ) -> int:
        runtime = self._runtimes.by_name(tenant.scope, name)
        if runtime.status in ("CREATE_FAILED", "DELETING"):
            raise conflict(
                f"agent runtime {name} is {runtime.status}: {runtime.document.get('statusReason') or 'see its logs'}"
            )
        version = self._endpoints.choose(runtime, endpoint)
        running = await self._instances.ready(self._runtimes.key(version), version)
        return await self._proxy.forward(request, running.socket, path, f"agent runtime {name}", request_id)

    async def _logs(self, request: Request, tenant: Tenant, name: str, endpoint: str, request_id: str) -> int:
        versions = self._endpoints.versions(self._runtimes.by_name(tenant.scope, name), endpoint)
        tail = whole_number(request.query, "tail", _MOST_LINES, most=_MOST_LINES, least=0)
        lines = [line for each in versions for line in self._instances.logs(self._runtimes.key(each), tail)]
        await Response.json({"lines": lines[max(0, len(lines) - tail) :]}).send(request.send, request_id)
        return 200
