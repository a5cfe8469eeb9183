"""The gateway on its own: an ASGI application for the proxies of one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentrun._serving.asgi import Message, Receive, Scope, Send
from agentrun._serving.openai_error import ApiError
from agentrun._serving.prometheus import MEDIA_TYPE
from agentrun.gateway.call import Call, Caller
from agentrun.gateway.gateway import Gateway, check_operation
from agentrun.gateway.keys import Keys
from agentrun.gateway.observability.metrics import render
from agentrun.gateway.outlet import Outlet
from agentrun.gateway.plan import Plan

if TYPE_CHECKING:
    from typing_extensions import Self

LARGEST_BODY = 64 * 2**20
_PROXIES = "/models/"


class GatewayApp:
    """Serves proxies below `/models/{proxy}/v1`, and all of them below `/v1`, where the model names the proxy.

    `/health` and `/metrics` need no key. Where no server runs its lifespan, it is used in an `async with` block.
    """

    def __init__(self, plans: Sequence[Plan], keys: Keys, gateway: Gateway) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._keys = keys
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async def __aenter__(self) -> Self:
        await self._gateway.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._gateway.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        outlet = Outlet(send)
        try:
            await self._route(scope, receive, send, outlet)
        except ApiError as error:
            await outlet.fail(error)
        except ConnectionAbortedError:
            return

    async def _route(self, scope: Scope, receive: Receive, send: Send, outlet: Outlet) -> None:
        path: str = scope["path"]
        if path in ("/health", "/healthz"):
            await outlet.json({"status": "ok"})
        elif path == "/metrics":
            await outlet.whole(200, render(self._gateway.stats).encode(), {}, MEDIA_TYPE)
        else:
            headers = request_headers(scope)
            caller = self._keys.caller(headers)
            await self._proxied(scope, path, headers, caller, receive, send)

    async def _proxied(
        self, scope: Scope, path: str, headers: Mapping[str, str], caller: Caller, receive: Receive, send: Send
    ) -> None:
        name, rest = "", path
        if path.startswith(_PROXIES):
            name, slash, rest = path.removeprefix(_PROXIES).partition("/")
            rest = slash + rest
        if rest == "/stats":
            await Outlet(send).json(await self._gateway.show(self._plan(name, "")))
            return
        if not rest.startswith("/v1/"):
            raise ApiError(404, f"There is nothing at {path}; see /v1/models.", "not_found")
        operation = rest.removeprefix("/v1/")
        if operation.partition("/")[0] == "models":
            plans = [self._plan(name, "")] if name else list(self._plans.values())
            await answer_models(scope["method"], operation, plans, Outlet(send))
            return
        call = await read_call(scope["method"], path, operation, headers, receive, caller)
        await self._gateway.serve(self._plan(name, call.model), call, receive, send)

    def _plan(self, name: str, model: str) -> Plan:
        """The proxy of a path, or the one that the model names or is of; where there is only one, that."""
        found = self._plans.get(name or model)
        if found is None and not name:
            found = next((plan for plan in self._plans.values() if len(self._plans) == 1 or model in plan.models), None)
        if found is None:
            known = ", ".join(map(repr, self._plans if name else names_of(self._plans.values())))
            what = f"proxy {name!r}" if name else f"model {model!r}"
            raise ApiError(404, f"There is no {what}; there are {known}.", "model_not_found", "model")
        return found


async def answer_models(method: str, operation: str, plans: Sequence[Plan], outlet: Outlet) -> None:
    """Answer `/v1/models` or `/v1/models/{name}`; raises ApiError (404, 405)."""
    if method != "GET":
        raise ApiError(405, f"{method} /v1/models is not allowed: use GET.", "method_not_allowed")
    names = names_of(plans)
    _, _, wanted = operation.partition("/")
    if not wanted:
        await outlet.json({"object": "list", "data": [_model(name) for name in names]})
    elif wanted in names:
        await outlet.json(_model(wanted))
    else:
        raise ApiError(404, f"There is no model {wanted!r}; there are {', '.join(names)}.", "model_not_found", "model")


def names_of(plans: Iterable[Plan]) -> list[str]:
    """What callers may name as a model."""
    return list(dict.fromkeys(name for plan in plans for name in (plan.name, *plan.models)))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "agentrun"}


async def read_call(
    method: str, path: str, operation: str, headers: Mapping[str, str], receive: Receive, caller: Caller
) -> Call:
    """The call that a request is; raises ApiError (400, 404, 405, 413) that says what is wrong with it."""
    check_operation(operation)
    check_method(method, path)
    check_length(headers)
    return Call.read(operation, await read_body(receive), headers, caller)


def check_method(method: str, path: str) -> None:
    """Raise ApiError (405) unless it is POST."""
    if method != "POST":
        raise ApiError(
            405, f"{method} {path} is not allowed: use POST.", "method_not_allowed", headers={"allow": "POST"}
        )


def request_headers(scope: Scope) -> dict[str, str]:
    """The headers of a request, their names in lower case."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def check_length(headers: Mapping[str, str], most: int = LARGEST_BODY) -> None:
    """Raise ApiError (413) for a body that says itself that it is too large."""
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise _too_large(most)


async def read_body(receive: Receive, most: int = LARGEST_BODY) -> bytes:
    """The whole body; raises ApiError (413), and ConnectionAbortedError when the caller goes away before its end."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError("the caller went away before its body was whole")
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > most:
            raise _too_large(most)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"The request body is larger than {most // 2**20} MiB.", "request_too_large")
