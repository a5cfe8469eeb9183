"""`/models/{proxy}/v1/...` and `/model-services/{name}/v1/...`: who may call, and the gateway behind."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from agentrun._serving.asgi import Message, Send
from agentrun._serving.openai_error import ApiError
from agentrun.emulator.auth import Tenant, is_signed
from agentrun.emulator.data.models.plans import Guard, Plans, Served
from agentrun.emulator.http import Request, emulator_marked
from agentrun.emulator.inbound.checks import accepted
from agentrun.emulator.inbound.gate import Gate
from agentrun.emulator.wire.envelope import ServiceError
from agentrun.gateway.app import answer_models, read_call
from agentrun.gateway.call import Caller
from agentrun.gateway.gateway import Gateway
from agentrun.gateway.keys import missing_key, presented_key, wrong_key
from agentrun.gateway.observability.metrics import render
from agentrun.gateway.outlet import CallerGone, Outlet

PROXIES, SERVICES = "/models/", "/model-services/"


class ModelGateway:
    """Serves what the platform has stored; errors are those of the OpenAI protocol, because its clients call."""

    def __init__(self, plans: Plans, gateway: Gateway, tenant_of: Callable[[Request], Tenant], gate: Gate) -> None:
        self._plans = plans
        self._gateway = gateway
        self._tenant_of = tenant_of
        self._gate = gate

    async def handle(self, request: Request, request_id: str, note: Callable[[str], None]) -> int:
        """Answer a request; returns the status. `note` is told the account."""
        send = _marked(request.send, request_id)
        outlet = Outlet(send)
        try:
            return await self._route(request, send, outlet, note)
        except ApiError as error:
            await outlet.fail(error)
        except ServiceError as error:
            await outlet.fail(ApiError(error.status, error.message, error.code, headers=error.headers))
        except CallerGone as error:
            raise ConnectionAbortedError(str(error)) from error
        return outlet.status

    def metrics(self) -> str:
        """Everything that was counted, for Prometheus."""
        return render(self._gateway.stats)

    async def start(self) -> None:
        """Begin to work."""
        await self._gateway.start()

    async def close(self) -> None:
        """Close connections."""
        await self._gateway.close()

    async def _route(self, request: Request, send: Send, outlet: Outlet, note: Callable[[str], None]) -> int:
        prefix = PROXIES if request.path.startswith(PROXIES) else SERVICES
        label, _, below = request.path.removeprefix(prefix).partition("/")
        served, caller = await self._opened(request, prefix, unquote(label))
        note(served.scope.account)
        if below == "stats" and request.method == "GET":
            await outlet.json(await self._gateway.show(served.plan))
            return outlet.status
        if not below.startswith("v1/"):
            raise ApiError(404, f"There is nothing at {request.path}; see {prefix}{label}/v1/models.", "not_found")
        operation = below.removeprefix("v1/")
        if operation.partition("/")[0] == "models":
            await answer_models(request.method, operation, [served.plan], outlet)
            return outlet.status
        call = await read_call(request.method, request.path, operation, request.headers, request.receive, caller)
        return await self._gateway.serve(served.plan, call, request.receive, send)

    async def _opened(self, request: Request, prefix: str, label: str) -> tuple[Served, Caller]:
        """What a request is for, and who sent it: whoever signs for the account, or shows the key of a proxy."""
        if prefix == PROXIES and not is_signed(request):
            served = self._plans.proxy_anywhere(label)
            if served is not None and served.guard is not None:
                return served, await self._by_credential(request, served.guard, served)
        tenant = self._tenant_of(request)
        find = self._plans.proxy if prefix == PROXIES else self._plans.service
        return find(tenant.scope, label), Caller(tenant.access_key_id, tenant.scope.account)

    async def _by_credential(self, request: Request, guard: Guard, served: Served) -> Caller:
        user = served.user
        assert user is not None, "a proxy has a name and an id"
        if guard.kind == "api_key":
            _check_key(request, guard, self._gate.now())
            self._gate.note(served.scope, guard.id, user)
        else:
            await self._gate.admit_by(served.scope, guard.name, request.headers, user)
        return Caller(guard.name, served.scope.account)


def _check_key(request: Request, guard: Guard, now: float) -> None:
    key = presented_key(request.headers, guard.header)
    if not key:
        raise missing_key()
    if not accepted(key, guard.keys, now):
        raise wrong_key()
    if not guard.enabled:
        raise ApiError(
            403, f"the credential {guard.name} of this proxy is disabled: nobody is let in", "credential_disabled"
        )


def _marked(send: Send, request_id: str) -> Send:
    """The way to the caller, with the emulator's headers on the answer."""
    mark = (b"x-acs-request-id", request_id.encode())

    async def with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], mark]}
        await send(message)

    return emulator_marked(with_id)
