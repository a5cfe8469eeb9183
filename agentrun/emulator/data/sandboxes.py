"""Sandboxes on the data plane: `/sandboxes` manages them, everything below `/sandboxes/{id}/` goes to the guest."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import unquote, urlencode

import anyio

from agentrun._core.values import is_object
from agentrun._serving.upstream import UpstreamError
from agentrun.emulator.auth import Tenant
from agentrun.emulator.backends.base import Running, RunningSandbox
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.control.sandboxes import Sandboxes
from agentrun.emulator.data import executions, ports, signed_urls, websockets
from agentrun.emulator.data.proxy import BadGateway, Proxy
from agentrun.emulator.data.signed_urls import Grant, SignedURLs
from agentrun.emulator.http import Handshake, Request, Response
from agentrun.emulator.store import Scope
from agentrun.emulator.wire.envelope import ServiceError, forbidden, invalid, success

PREFIX = "/sandboxes"
_TERMINATED = "ERR_SANDBOX_TERMINATED"
_TERMINAL = "processes/tty"
_PORTS = "ports/"
# Between the end of a connection into a sandbox and the news that its processes ended.
_NEWS_SECONDS = 0.2


class SandboxGateway:
    """The gateway in front of the sandboxes."""

    def __init__(self, sandboxes: Sandboxes, proxy: Proxy, urls: SignedURLs) -> None:
        self._sandboxes = sandboxes
        self._proxy = proxy
        self._urls = urls
        self._operations = sandboxes.routes()
        self._managed = frozenset(below for _, below in self._operations)

    async def handle(self, request: Request, tenant: Tenant, request_id: str) -> int:
        """Answer a request; returns the status."""
        sandbox_id, below = _split(request.path)
        if below in self._managed or not sandbox_id:
            return await self._manage(request, tenant, sandbox_id, below, request_id)
        if below == signed_urls.PATH:
            return await self._sign(request, tenant, sandbox_id, request_id)
        if below.startswith(_PORTS):
            where = ports.destination(sandbox_id, below)
            return await self._use(
                tenant.scope, sandbox_id, lambda running: ports.forward(request, running.socket, where, request_id)
            )
        if below == executions.PATH and request.method == "POST":
            return await self._use(
                tenant.scope, sandbox_id, lambda running: self._execute(request, running, sandbox_id, request_id)
            )
        return await self._use(
            tenant.scope,
            sandbox_id,
            lambda running: self._pass_on(request, running, sandbox_id, f"/{below}", request_id),
        )

    async def _pass_on(self, request: Request, running: Running, sandbox_id: str, path: str, request_id: str) -> int:
        return await self._proxy.forward(request, running.socket, path, f"sandbox {sandbox_id}", request_id)

    async def _execute(self, request: Request, running: RunningSandbox, sandbox_id: str, request_id: str) -> int:
        """Execute code that needs no context without waking the sandbox's agent."""
        wanted = executions.read(await request.lenient_json())
        try:
            results = await executions.execute(wanted, running, request) if wanted else None
        except executions.InterpreterLost as error:
            raise BadGateway(f"sandbox {sandbox_id}", UpstreamError("it ended"), sent=True) from error
        if results is None:
            request.replay()
            return await self._pass_on(request, running, sandbox_id, f"/{executions.PATH}", request_id)
        await executions.answered(results).send(request.send, request_id)
        return 200

    # Management

    async def _manage(self, request: Request, tenant: Tenant, sandbox_id: str, below: str, request_id: str) -> int:
        operation = self._operation(request, sandbox_id, below)
        body = await _object(request)
        if "owner" in body and not _is_local(request):
            raise forbidden(
                "ERR_OWNER_REFUSED", "owner names a process of this machine; only a caller on it may do that"
            )
        names = (sandbox_id,) if sandbox_id else ()
        data = await operation(Call(tenant, names, request.query, body))
        if below == "patch":
            answer = Response(str(data["patch"]).encode(), media_type="text/x-diff; charset=utf-8")
        else:
            answer = Response(success(data, request_id))
        await answer.send(request.send, request_id)
        return answer.status

    def _operation(self, request: Request, sandbox_id: str, below: str) -> Handler:
        if not sandbox_id and not below and request.method == "POST":
            return self._sandboxes.create
        operation = self._operations.get((request.method, below)) if sandbox_id else None
        if operation is None:
            raise ServiceError(405, "UnsupportedHTTPMethod", f"{request.path} does not take {request.method}")
        return operation

    # Signed URLs

    @staticmethod
    def is_by_url(request: Request) -> bool:
        """Whether a signed URL is used: what it carries names the caller, and no other signature is needed."""
        path = request.path
        if not path.endswith(signed_urls.PATH) or request.method == "POST":
            return False
        return path.startswith(f"{PREFIX}/") and _split(path)[1] == signed_urls.PATH

    def granted(self, request: Request, region: str) -> Grant:
        """What a signed URL allows; raises ServiceError (403, 405)."""
        return self._urls.read(request.method, region, _split(request.path)[0], request.query)

    async def handle_by_url(self, request: Request, grant: Grant, request_id: str) -> int:
        """Answer a request that a signed URL allows; returns the status."""
        path = "/filesystem/download" if grant.operation == signed_urls.DOWNLOAD else "/filesystem/content"
        query, what = urlencode({"path": grant.path}), f"sandbox {grant.sandbox_id}"
        return await self._use(
            grant.scope,
            grant.sandbox_id,
            lambda running: self._proxy.forward(request, running.socket, path, what, request_id, query),
        )

    async def _sign(self, request: Request, tenant: Tenant, sandbox_id: str, request_id: str) -> int:
        await self._sandboxes.get(Call(tenant, (sandbox_id,)))
        if reason := self._sandboxes.ended_reason(tenant.scope, sandbox_id):
            raise _terminated(sandbox_id, reason, "no")
        host = request.headers.get("host", "").rpartition("://")[2]
        made = self._urls.make(
            f"{request.scope.get('scheme', 'http')}://{host}", tenant.scope, sandbox_id, await request.json()
        )
        await Response.json(made).send(request.send, request_id)
        return 200

    # Websockets

    async def connect(self, handshake: Handshake, tenant: Tenant, request_id: str, remarks: list[str]) -> int:
        """Pass a websocket on for as long as it lives; returns the status of its handshake."""
        sandbox_id, below = _split(handshake.path)
        if below != _TERMINAL and not below.startswith(_PORTS):
            raise ServiceError(
                404, "ERR_NOT_FOUND", f"websockets are {_TERMINAL} and {_PORTS}{{port}}/... of a sandbox, not {below!r}"
            )
        work = partial(self._relay, handshake, tenant.scope, sandbox_id, below, request_id, remarks)
        try:
            return await self._use(tenant.scope, sandbox_id, work)
        except websockets.Refused as refusal:
            await refusal.answer.send(handshake.send, request_id)
            return refusal.answer.status
        except OSError as error:
            raise ConnectionAbortedError("the caller went away before its websocket was open") from error

    async def _relay(
        self,
        handshake: Handshake,
        scope: Scope,
        sandbox_id: str,
        below: str,
        request_id: str,
        remarks: list[str],
        running: Running,
    ) -> int:
        opening = await _opening(handshake, running, sandbox_id, below, request_id)
        async with websockets.opened(handshake, opening) as inside:
            await websockets.accept(handshake, inside, request_id)
            close = await websockets.relay(handshake, inside)
            if not close.by_caller and close.code in websockets.ENDED_WITH_SERVER:
                reason = await self._end_of(scope, sandbox_id, running)
                close = websockets.ended(sandbox_id, reason) if reason else close
            remarks.append(str(close))
            await websockets.finish(handshake, inside, close)
        return 101

    # The sandbox itself

    async def _use(self, scope: Scope, sandbox_id: str, work: Callable[[RunningSandbox], Awaitable[int]]) -> int:
        """Work with a sandbox that runs; a failure that its end has caused tells why it ended (410)."""
        try:
            async with self._sandboxes.in_use(scope, sandbox_id) as running:
                try:
                    return await work(running)
                except BadGateway as error:
                    reason = await self._end_of(scope, sandbox_id, running)
                    if reason is None:
                        raise
                    raise _terminated(sandbox_id, reason, error.executed) from error
        except ServiceError as error:
            if error.code == _TERMINATED:
                error.details.setdefault("executed", "no")
            raise

    async def _end_of(self, scope: Scope, sandbox_id: str, running: Running) -> str | None:
        """Why a sandbox ended that has closed a connection, None when it did not end."""
        if reason := self._sandboxes.ended_reason(scope, sandbox_id):
            return reason
        with anyio.move_on_after(_NEWS_SECONDS):
            await running.wait_ended()
        reason = self._sandboxes.ended_reason(scope, sandbox_id)
        return reason or (None if running.alive else "its processes ended")


def _split(path: str) -> tuple[str, str]:
    """The sandbox's id and what is below it."""
    sandbox_id, _, below = path.removeprefix(PREFIX).lstrip("/").partition("/")
    return unquote(sandbox_id), below


async def _opening(
    handshake: Handshake, running: Running, sandbox_id: str, below: str, request_id: str
) -> websockets.Opening:
    if below == _TERMINAL:
        return websockets.terminal(handshake, running.socket, below, f"sandbox {sandbox_id}", request_id)
    where = ports.destination(sandbox_id, below)
    return websockets.at_port(handshake, await ports.joined(running.socket, where), where, request_id)


def _terminated(sandbox_id: str, reason: str, executed: str) -> ServiceError:
    """The sandbox has ended (410); `executed` is "unknown" when it may have had the request, else "no"."""
    return ServiceError(410, _TERMINATED, f"sandbox {sandbox_id} is TERMINATED: {reason}", executed=executed)


async def _object(request: Request) -> dict[str, Any]:
    """The body of an operation, empty when none was given; raises ServiceError (400)."""
    body = await request.json()
    if body is not None and not is_object(body):
        raise invalid(f"the body must be an object, not {type(body).__name__}")
    return body or {}


def _is_local(request: Request) -> bool:
    client = request.scope.get("client")
    if request.from_inside:
        return False
    return client is None or ipaddress.ip_address(client[0]).is_loopback
