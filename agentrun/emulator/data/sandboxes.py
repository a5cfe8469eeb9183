"""Sandboxes on the data plane: `/sandboxes` manages them, everything below `/sandboxes/{id}/` goes to the guest."""

from __future__ import annotations

from urllib.parse import unquote

from agentrun.emulator.auth import Tenant
from agentrun.emulator.control.call import Call
from agentrun.emulator.control.sandboxes import Sandboxes
from agentrun.emulator.data.proxy import Proxy
from agentrun.emulator.http import Request, Response
from agentrun.emulator.wire.envelope import ServiceError, invalid, success
from agentrun.emulator.wire.schema import without_empty_lists
from agentrun.emulator.wire.table import table

PREFIX = "/sandboxes"


class SandboxGateway:
    """The gateway in front of the sandboxes."""

    def __init__(self, sandboxes: Sandboxes, proxy: Proxy) -> None:
        self._sandboxes = sandboxes
        self._proxy = proxy

    async def handle(self, request: Request, tenant: Tenant, request_id: str) -> int:
        """Answer a request; returns the status."""
        sandbox_id, _, below = request.path.removeprefix(PREFIX).lstrip("/").partition("/")
        sandbox_id = unquote(sandbox_id)
        if below and (request.method, below) != ("POST", "stop"):
            with self._sandboxes.in_use(tenant.scope, sandbox_id) as running:
                return await self._proxy.forward(
                    request, running.socket, f"/{below}", f"sandbox {sandbox_id}", request_id
                )
        data = await self._manage(request, tenant, sandbox_id, below)
        await Response(success(data, request_id)).send(request.send, request_id)
        return 200

    async def _manage(self, request: Request, tenant: Tenant, sandbox_id: str, below: str) -> dict[str, object]:
        if not sandbox_id and request.method == "POST":
            return await self._sandboxes.create(Call(tenant, body=await _checked(request)))
        call = Call(tenant, (sandbox_id,))
        operations = {
            ("GET", ""): self._sandboxes.get,
            ("DELETE", ""): self._sandboxes.delete,
            ("POST", "stop"): self._sandboxes.stop,
        }
        operation = operations.get((request.method, below)) if sandbox_id else None
        if operation is None:
            raise ServiceError(405, "UnsupportedHTTPMethod", f"{request.path} does not take {request.method}")
        return await operation(call)


async def _checked(request: Request) -> dict[str, object]:
    body = await request.json()
    schema = table().schema_check
    # The data plane writes enableTls where the control plane has enableTLS.
    problems = [text for text in schema.problems("CreateSandboxInput", body) if "enableTls" not in text]
    if problems:
        raise invalid("; ".join(problems))
    cleaned: dict[str, object] = without_empty_lists(body)
    return cleaned
