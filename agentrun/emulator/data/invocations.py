"""Calls of agent runtimes: `/agent-runtimes/{name}/endpoints/{endpoint}/invocations/...` goes to the agent itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from agentrun.emulator.auth import Tenant
from agentrun.emulator.control.endpoints import Endpoints
from agentrun.emulator.control.runtimes import Runtimes
from agentrun.emulator.data.proxy import Proxy
from agentrun.emulator.http import Request, Response
from agentrun.emulator.inbound.gate import Gate, Guard
from agentrun.emulator.instances import Instances
from agentrun.emulator.store import Record
from agentrun.emulator.usage import User
from agentrun.emulator.wire.envelope import ServiceError, conflict, unauthorized
from agentrun.emulator.wire.table import whole_number

PREFIX = "/agent-runtimes/"
_MOST_LINES = 1_000_000
# How who does not sign says whose runtime is meant, in the cloud and here.
_ACCOUNT_HEADER = "x-acs-parent-id"


@dataclass(frozen=True)
class Guarded:
    """A runtime whose callers are asked for a credential."""

    runtime: Record
    guard: Guard


class Invocations:
    """The gateway in front of the agents."""

    def __init__(
        self, runtimes: Runtimes, endpoints: Endpoints, instances: Instances, proxy: Proxy, gate: Gate
    ) -> None:
        self._runtimes = runtimes
        self._endpoints = endpoints
        self._instances = instances
        self._proxy = proxy
        self._gate = gate

    def guarded(self, request: Request) -> Sequence[Guarded]:
        """The runtimes that a call without a signature may be for: those it names, in all accounts unless it says one.

        Runtimes that ask for no credential are not among them.
        """
        label = unquote(request.path.removeprefix(PREFIX).partition("/")[0])
        found = self._runtimes.anywhere(label, request.headers.get(_ACCOUNT_HEADER))
        guards = ((runtime, self._guard(runtime)) for runtime in found)
        return [Guarded(runtime, guard) for runtime, guard in guards if guard]

    async def handle_unsigned(
        self, request: Request, guarded: Sequence[Guarded], request_id: str, note: Callable[[str], None]
    ) -> int:
        """Answer a call of who shows a credential; returns the status. `note` is told the account.

        Where several accounts have a runtime of that name, the credential tells which one is meant. Raises
        ServiceError (401, 403).
        """
        _, endpoint, route, path = _parts(request)
        if route != "invocations":
            raise unauthorized("MissingAuthorization", "logs are shown to who signs for the account only")
        refusals: list[ServiceError] = []
        for each in guarded:
            runtime = each.runtime
            try:
                user = User("runtime", runtime.id, runtime.name)
                await self._gate.admit(runtime.scope, each.guard, request.headers, user)
            except ServiceError as error:
                refusals.append(error)
            else:
                note(runtime.scope.account)
                return await self._invoke(request, runtime, endpoint, path, request_id)
        note(guarded[0].runtime.scope.account)
        raise refusals[0]

    def _guard(self, runtime: Record) -> Guard | None:
        name = runtime.document.get("credentialName")
        return self._gate.guard(runtime.scope, name) if name else None

    async def handle(self, request: Request, tenant: Tenant, request_id: str) -> int:
        """Answer a request; returns the status."""
        name, endpoint, route, path = _parts(request)
        if route == "logs":
            return await self._logs(request, tenant, name, endpoint, request_id)
        # Who signs for the account may read the credential, so it would prove nothing more.
        return await self._invoke(request, self._runtimes.by_name(tenant.scope, name), endpoint, path, request_id)

    async def _invoke(self, request: Request, runtime: Record, endpoint: str, path: str, request_id: str) -> int:
        if runtime.status in ("CREATE_FAILED", "DELETING"):
            reason = runtime.document.get("statusReason") or "see its logs"
            raise conflict(f"agent runtime {runtime.name} is {runtime.status}: {reason}")
        version = self._endpoints.choose(runtime, endpoint)
        running = await self._instances.ready(self._runtimes.key(version), version)
        guard = self._guard(runtime)
        # The agent never sees what its callers prove themselves with, whoever calls.
        hidden = (guard.check.header.encode(),) if guard and guard.check else ()
        what = f"agent runtime {runtime.name}"
        return await self._proxy.forward(request, running.socket, path, what, request_id, without=hidden)

    async def _logs(self, request: Request, tenant: Tenant, name: str, endpoint: str, request_id: str) -> int:
        versions = self._endpoints.versions(self._runtimes.by_name(tenant.scope, name), endpoint)
        tail = whole_number(request.query, "tail", _MOST_LINES, most=_MOST_LINES, least=0)
        lines = [line for each in versions for line in self._instances.logs(self._runtimes.key(each), tail)]
        await Response.json({"lines": lines[max(0, len(lines) - tail) :]}).send(request.send, request_id)
        return 200


def _parts(request: Request) -> tuple[str, str, str, str]:
    """Runtime, endpoint, `invocations` or `logs`, and the path below; raises ServiceError (404)."""
    parts = request.path.removeprefix(PREFIX).split("/", 4)
    if len(parts) < 4 or parts[1] != "endpoints" or parts[3] not in ("invocations", "logs"):
        raise ServiceError(
            404, "ERR_NOT_FOUND", f"{PREFIX}{{name}}/endpoints/{{endpoint}}/invocations/... is not {request.path}"
        )
    return unquote(parts[0]), unquote(parts[2]), parts[3], f"/{parts[4]}" if len(parts) > 4 else "/"
