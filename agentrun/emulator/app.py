"""The emulator as one ASGI application: who may talk, where a request belongs, and how its answer is noted."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentrun._serving.asgi import Receive, Scope, Send
from agentrun.emulator.admin import Admin
from agentrun.emulator.auth import Tenant, is_signed
from agentrun.emulator.clock import Clock
from agentrun.emulator.control.addresses import check_from_inside
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.data import documents, invocations, sandboxes
from agentrun.emulator.data.proxy import CLIENT_GONE, BrokenOffError
from agentrun.emulator.data.tools import gateway as tools
from agentrun.emulator.guard import Guard
from agentrun.emulator.http import Handshake, Request, Response, emulator_marked
from agentrun.emulator.platform import Platform
from agentrun.emulator.recordings import RECORDED_PREFIX
from agentrun.emulator.settings import Settings
from agentrun.emulator.wire.envelope import ServiceError, failure, invalid, new_request_id, success, unsupported
from agentrun.emulator.wire.schema import without_empty_lists
from agentrun.emulator.wire.table import DEVS_CONTRACT, DEVS_PREFIX, PREFIX, Table, table

log = logging.getLogger("agentrun.emulator")

MODEL_PREFIX = "/scripted/"
TEMPLATE_PREFIX = "/templates/"
TOOL_PREFIXES = (tools.PREFIX, tools.LOGS_PREFIX, tools.SETS_PREFIX, TEMPLATE_PREFIX)
GATEWAY_PREFIXES = ("/models/", "/model-services/")


@dataclass
class Note:
    """What the journal will say of a request."""

    plane: str = "data"
    operation: str = ""
    account: str = ""
    remarks: list[str] = field(default_factory=list[str])

    def of_account(self, account: str) -> None:
        """Whose resource was asked for."""
        self.account = account


class App:
    """The emulator, as ASGI sees it."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        settings = platform.settings
        self._strict = settings.strict
        self._table = table()
        self._guard = Guard(settings.allowed_hosts, settings.allowed_origins)
        self._admin = Admin(platform)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._handle(Handshake(scope, receive, send))
        else:
            await self._handle(Request(scope, receive, send))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.platform.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.platform.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _handle(self, request: Request) -> None:
        request_id = new_request_id()
        began = time.perf_counter()
        note = Note()
        try:
            self._guard.check(request.headers)
            status = await self._answer(request, request_id, note)
        except ServiceError as error:
            status = error.status
            await Response(failure(error, request_id), status, error.headers).send(request.send, request_id)
        except ConnectionAbortedError as error:
            status = CLIENT_GONE
            note.remarks.append(str(error))
        except BrokenOffError as error:
            # The answer has begun; returning without its end makes the server cut the connection.
            status = 502
            note.remarks.append(str(error))
        except Exception:
            log.exception("%s %s failed, request id %s", request.method, request.path, request_id)
            status = 500
            broken = ServiceError(500, "ERR_INTERNAL_SERVER_ERROR", "the emulator failed; its log has the request id")
            await Response(failure(broken, request_id), status).send(request.send, request_id)
        if note.plane == "admin" and request.method == "GET":
            return  # Who reads the journal must not fill it.
        duration = (time.perf_counter() - began) * 1000
        self.platform.journal.add(
            self.platform.clock.now(),
            note.plane,
            note.operation,
            request.method,
            request.path,
            status,
            request_id,
            duration,
            note.account,
            note.remarks,
        )

    async def _answer(self, request: Request, request_id: str, note: Note) -> int:
        path = request.path
        if isinstance(request, Handshake):
            return await self._websocket(request, request_id, note)
        if path.startswith(PREFIX):
            return await self._control(request, request_id, note)
        if path.startswith(Admin.PREFIX):
            note.plane, note.operation = "admin", path.removeprefix(Admin.PREFIX)
            return await self._admin.handle(request, request_id)
        if path.startswith(MODEL_PREFIX):
            note.plane, note.operation = "model", "scripted"
            post = request.method == "POST"
            receive = self.platform.recordings.counting(request.receive) if post else request.receive
            await self.platform.model(request.scope, receive, emulator_marked(request.send))
            return 200
        if path.startswith(RECORDED_PREFIX):
            note.plane, note.operation = "model", "recorded"
            recordings, send = self.platform.recordings, emulator_marked(request.send)
            return await recordings.serve(request.scope, request.receive, send)
        if path.startswith(GATEWAY_PREFIXES):
            note.plane, note.operation = "model", path.split("/", 2)[1]
            self.platform.lifecycle.settle()
            gateway = await self.platform.model_gateway()
            return await gateway.handle(request, request_id, note.of_account)
        if path.startswith(DEVS_PREFIX):
            return await self._devs(request, request_id, note)
        if path.startswith(TOOL_PREFIXES):
            return await self._tool(request, request_id, note)
        if (operation := self.platform.retrieval.operation(request)) is not None:
            note.operation = operation
            self.platform.lifecycle.settle()
            return await self.platform.retrieval.handle(request, operation, request_id, note.of_account)
        return await self._data(request, request_id, note)

    async def _control(self, request: Request, request_id: str, note: Note) -> int:
        data = await self._operated(request, self._table, self.platform.handlers, note)
        await Response(success(data, request_id)).send(request.send, request_id)
        return 200

    async def _devs(self, request: Request, request_id: str, note: Note) -> int:
        """The API of tool sets, whose answers have no envelope."""
        data = await self._operated(request, table(DEVS_CONTRACT), self.platform.toolsets.handlers(), note)
        await Response.json(data).send(request.send, request_id)
        return 200

    async def _operated(
        self, request: Request, contract: Table, handlers: Mapping[str, Handler], note: Note
    ) -> dict[str, Any]:
        """What the operation that a request means has answered."""
        note.plane = "control"
        operation, names = contract.route(request.method, request.path)
        note.operation = operation.action
        tenant = await self.platform.auth.control(request, operation.action)
        note.account = tenant.scope.account
        body = await request.json()
        problems: list[str] = []
        contract.check(operation, request.query, body, problems.append)
        if problems and self._strict:
            raise invalid("; ".join(problems))
        note.remarks += problems
        if request.from_inside:
            check_from_inside(body, self.platform.endpoint)
        handler = handlers.get(operation.action)
        if handler is None:
            raise unsupported(f"{operation.action} is not served by this version of the emulator")
        self.platform.lifecycle.settle()
        call = Call(tenant, names, request.query, without_empty_lists(body or {}))
        try:
            return await handler(call)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if not problems:
                raise
            # What the loose form let through is what the operation cannot do without.
            raise invalid("; ".join(problems)) from error

    async def _data(self, request: Request, request_id: str, note: Note) -> int:
        gateway = self._gateway(request.path)
        note.operation = request.path.split("/", 2)[1]
        if sandboxes.SandboxGateway.is_by_url(request):
            return await self._by_url(request, request_id, note)
        self.platform.lifecycle.settle()
        if isinstance(gateway, invocations.Invocations) and not is_signed(request):
            guarded = gateway.guarded(request)
            if guarded:
                return await gateway.handle_unsigned(request, guarded, request_id, note.of_account)
        tenant = self.platform.auth.data(request)
        note.account = tenant.scope.account
        return await gateway.handle(request, tenant, request_id)

    async def _tool(self, request: Request, request_id: str, note: Note) -> int:
        note.operation = request.path.split("/", 2)[1]
        self.platform.lifecycle.settle()

        def caller(owner: str | None = None) -> Tenant:
            tenant = self.platform.auth.tool_caller(request, owner)
            note.account = tenant.scope.account
            return tenant

        if request.path.startswith(tools.SETS_PREFIX):
            return await self.platform.tool_gateway.handle_set(request, caller, request_id)
        tenant = caller()
        if request.path.startswith(TEMPLATE_PREFIX):
            return await self.platform.template_gateway().handle(request, tenant, request_id)
        return await self.platform.tool_gateway.handle(request, tenant, request_id)

    async def _by_url(self, request: Request, request_id: str, note: Note) -> int:
        gateway = self.platform.sandbox_gateway
        grant = gateway.granted(request, self.platform.settings.region)
        note.account = grant.account
        return await gateway.handle_by_url(request, grant, request_id)

    async def _websocket(self, handshake: Handshake, request_id: str, note: Note) -> int:
        gateway = self._gateway(handshake.path)
        note.operation = handshake.path.split("/", 2)[1]
        if not isinstance(gateway, sandboxes.SandboxGateway):
            raise ServiceError(404, "ERR_NOT_FOUND", f"websockets are served below {sandboxes.PREFIX}/{{id}}/ only")
        tenant = self.platform.auth.data(handshake)
        note.account = tenant.scope.account
        return await gateway.connect(handshake, tenant, request_id, note.remarks)

    def _gateway(self, path: str) -> invocations.Invocations | sandboxes.SandboxGateway | documents.Documents:
        if path.startswith(invocations.PREFIX):
            return self.platform.invocations
        if path == sandboxes.PREFIX or path.startswith(f"{sandboxes.PREFIX}/"):
            return self.platform.sandbox_gateway
        if path.startswith(documents.PREFIX):
            return self.platform.documents
        raise ServiceError(404, "InvalidAction.NotFound", f"the emulator has no path {path}")


def build_app(settings: Settings | None = None, clock: Clock | None = None) -> App:
    """The emulator as an ASGI application, for a server of one's own or an in-process transport.

    Its lifespan must be run. What it starts reaches it at the settings' port, so a server should listen there.
    """
    settings = settings or Settings()
    platform = Platform(settings, clock)
    platform.listen_at(settings.port or Settings().port or 0)
    return App(platform)
