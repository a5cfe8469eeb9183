"""The `mcp` package, whose two lines differ: how it is loaded, asked and listened to. Nobody else imports it.

It loads slowly, half a second and more, so that waits for the first session. Messages go in and come out as what is on
the wire: dicts with the protocol's own names, which are the same in both lines.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from importlib import import_module, metadata
from typing import Any, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict

from agentrun.errors import ConfigError

Wire: TypeAlias = "dict[str, Any]"
# A server's question and our answer to it.
Elicit: TypeAlias = "Callable[[Wire], Awaitable[Wire]]"
Report: TypeAlias = "Callable[[float, float | None, str | None], Awaitable[None]]"

_REQUESTS = {
    "logging/setLevel": "SetLevelRequest",
    "ping": "PingRequest",
    "prompts/get": "GetPromptRequest",
    "prompts/list": "ListPromptsRequest",
    "resources/list": "ListResourcesRequest",
    "resources/read": "ReadResourceRequest",
    "resources/templates/list": "ListResourceTemplatesRequest",
    "tools/call": "CallToolRequest",
    "tools/list": "ListToolsRequest",
}


class _Result(BaseModel):
    """The result of a request as it came."""

    model_config = ConfigDict(extra="allow")


class Listeners(NamedTuple):
    """Who is told what a server says of its own accord; each gets what is on the wire."""

    log: Callable[[Wire], None]
    notification: Callable[[str], None]
    elicit: Elicit | None


class Library:
    """What both lines have, by one set of names."""

    def __init__(self) -> None:
        self._mcp: Any = import_module("mcp")
        self._types: Any = import_module("mcp.types")
        self._sse: Any = import_module("mcp.client.sse")
        self._stdio: Any = import_module("mcp.client.stdio")
        self._streamable: Any = import_module("mcp.client.streamable_http")
        self._is_first = metadata.version("mcp").startswith("1.")
        self.http = "httpx" if self._is_first else "httpx2"

    # Ways to a server: each yields a stream to read from and one to write to, and in the first line some more.

    @asynccontextmanager
    async def streamable_http(self, url: str, http_client: Any) -> AsyncGenerator[Any, None]:
        """One URL for everything."""
        async with http_client, self._streamable.streamable_http_client(url, http_client=http_client) as streams:
            yield streams

    def sse(self, url: str, http_client: Any) -> AbstractAsyncContextManager[Any]:
        """One URL that streams, and another that it names for what is sent."""
        return self._sse.sse_client(url, httpx_client_factory=lambda **_: http_client)  # type: ignore[no-any-return]

    def stdio(self, parameters: Mapping[str, Any], errors: Any) -> AbstractAsyncContextManager[Any]:
        """A process of our own; `errors` is the file for its standard error."""
        server = self._stdio.StdioServerParameters(**parameters)
        return self._stdio.stdio_client(server, errlog=errors)  # type: ignore[no-any-return]

    # A session over such streams

    def session(self, read: Any, write: Any, listeners: Listeners) -> AbstractAsyncContextManager[Any]:
        """A session of the package's own."""

        async def log(params: Any) -> None:
            listeners.log(plain(params))

        async def message(message: Any) -> None:
            method = getattr(root(message), "method", None)
            if isinstance(method, str):
                listeners.notification(method)

        name = self._types.Implementation(name="agentrun", version=metadata.version("agentrun"))
        return self._mcp.ClientSession(  # type: ignore[no-any-return]
            read,
            write,
            logging_callback=log,
            message_handler=message,
            elicitation_callback=None if listeners.elicit is None else self._elicitation(listeners.elicit),
            client_info=name,
        )

    def _elicitation(self, elicit: Elicit) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(_: Any, params: Any) -> Any:
            return self._types.ElicitResult.model_validate(await elicit(plain(params)))

        return answer

    async def ask(self, session: Any, method: str, params: Wire, report: Report | None) -> Wire:
        """The result of a request as it came."""
        given = {"method": method, **({"params": params} if params else {})}
        request = getattr(self._types, _REQUESTS[method]).model_validate(given)
        if self._is_first:
            request = self._types.ClientRequest(request)
        result = await session.send_request(request, _Result, progress_callback=report)
        return dict(result.model_extra or {})

    async def cancel(self, session: Any, request_id: Any, reason: str) -> None:
        """Tell the server that nobody waits for this request any more."""
        params = {"requestId": request_id, "reason": reason}
        notification = self._types.CancelledNotification.model_validate(
            {"method": "notifications/cancelled", "params": params}
        )
        if self._is_first:
            notification = self._types.ClientNotification(notification)
        await session.send_notification(notification)


@lru_cache(maxsize=1)
def library() -> Library:
    """The package; raises ConfigError when it is not installed."""
    try:
        return Library()
    except ImportError as error:
        if error.name and error.name.partition(".")[0] != "mcp":
            raise
        raise ConfigError(
            "MCP needs the mcp package, which is not installed", hint="Run: pip install 'agentrun[tools]'"
        ) from error


def plain(model: Any) -> Wire:
    """A model of the package as it is on the wire."""
    dumped: Wire = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


def root(message: Any) -> Any:
    """The message itself, which the first line wraps."""
    return getattr(message, "root", message)


class ServerError(NamedTuple):
    """What a server answered instead of a result."""

    code: int
    message: str
    data: Any


def server_error(error: BaseException) -> ServerError | None:
    """The error of the protocol in an exception of the package, None when it is another one."""
    found = getattr(error, "error", None)
    code, message = getattr(found, "code", None), getattr(found, "message", None)
    if not isinstance(code, int) or not isinstance(message, str):
        return None
    return ServerError(code, message, getattr(found, "data", None))
