"""The server of the `mcp` package, whose two lines differ. Nobody else here imports it.

It loads slowly, half a second and more, so that waits for the first request. What is on the wire goes in and out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

from starlette.requests import Request

Wire: TypeAlias = "dict[str, Any]"
# Takes how far something has come, and what there is to say of it.
Report: TypeAlias = "Callable[[int, str], Awaitable[None]]"


class Call(NamedTuple):
    """A call of a tool; `report` is there when its caller wants to know how far it has come."""

    name: str
    arguments: Wire
    request: Request | None
    report: Report | None


def is_installed() -> bool:
    """Whether there is such a package; it is not loaded to find that out."""
    return find_spec("mcp") is not None


def session_manager(name: str, tool: Wire, answer: Callable[[Call], Awaitable[Wire]]) -> Any:
    """The package's own answer to HTTP, for a server with one tool; loads the package."""
    manager: Any = import_module("mcp.server.streamable_http_manager").StreamableHTTPSessionManager
    is_first = metadata.version("mcp").startswith("1.")
    return manager(app=(_first_line if is_first else _second_line)(name, tool, answer))


def _first_line(name: str, tool: Wire, answer: Callable[[Call], Awaitable[Wire]]) -> Any:
    types, server_class = _modules()
    server: Any = server_class(name, version=metadata.version("agentrun"))

    async def list_tools() -> list[Any]:
        return [types.Tool.model_validate(tool)]

    async def call_tool(called: str, arguments: Wire) -> Any:
        context = server.request_context
        token = getattr(context.meta, "progressToken", None)

        async def report(progress: int, message: str) -> None:
            # Without the id of its request it would go to a stream of the session that clients need not have.
            related = str(context.request_id)
            await context.session.send_progress_notification(
                token, progress, message=message, related_request_id=related
            )

        call = Call(called, arguments, context.request, None if token is None else report)
        return types.CallToolResult.model_validate(await answer(call))

    server.list_tools()(list_tools)
    server.call_tool(validate_input=False)(call_tool)
    return server


def _second_line(name: str, tool: Wire, answer: Callable[[Call], Awaitable[Wire]]) -> Any:
    types, server_class = _modules()

    async def list_tools(_: Any, __: Any) -> Any:
        return types.ListToolsResult.model_validate({"tools": [tool]})

    async def call_tool(context: Any, params: Any) -> Any:
        async def report(progress: int, message: str) -> None:
            await context.session.report_progress(progress, message=message)

        meta: Wire = context.meta or {}
        has_asked = meta.get("progress_token") is not None
        call = Call(params.name, params.arguments or {}, context.request, report if has_asked else None)
        return types.CallToolResult.model_validate(await answer(call))

    version = metadata.version("agentrun")
    return server_class(name, version=version, on_list_tools=list_tools, on_call_tool=call_tool)


def _modules() -> tuple[Any, Any]:
    return import_module("mcp.types"), import_module("mcp.server.lowlevel").Server
