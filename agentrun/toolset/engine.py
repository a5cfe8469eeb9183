"""What calls the tools of a tool set or of a tool: by HTTP as an OpenAPI document says, or in a session by MCP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from agentrun._core.closing import Closing
from agentrun._core.progress import watcher
from agentrun.config import Config
from agentrun.toolset.mcp import McpClient
from agentrun.toolset.schema import ToolDefinition, definition_of_mcp_tool

if TYPE_CHECKING:
    from agentrun.toolset.openapi import ApiSet


class Engine(Protocol):
    """Knows the tools and calls them."""

    async def definitions(self, *, refresh: bool = False) -> list[ToolDefinition]:
        """The tools; with `refresh` they are asked for again."""
        ...

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """What a tool answers."""

    def apiset(self) -> ApiSet:
        """The tools as an ApiSet."""
        ...

    async def close_async(self) -> None:
        """Give back what is held."""


class Engines(Closing):
    """The engines of one resource, one for each Config that calls came with; usually that is one."""

    def __init__(self) -> None:
        self._kept: list[tuple[Config | None, Engine]] = []

    def of(self, config: Config | None, make: Callable[[Config | None], Engine]) -> Engine:
        """The engine for calls with a Config."""
        for known, engine in self._kept:
            if known == config:
                return engine
        engine = make(config)
        self._kept.append((config, engine))
        return engine

    async def close_async(self) -> None:
        """Close all of them; a later call makes new ones."""
        kept, self._kept = self._kept, []
        for _, engine in kept:
            await engine.close_async()

    def __reduce__(self) -> tuple[Any, ...]:
        return Engines, ()  # A copy of a resource has sessions of its own.


class McpEngine(Closing):
    """The tools of an MCP server, called in one session that stays open."""

    def __init__(self, url: str, transport: str, headers: Mapping[str, str], config: Config | None = None) -> None:
        self._client = McpClient(url, transport=_transport(transport), headers=headers or None, config=config)

    async def definitions(self, *, refresh: bool = False) -> list[ToolDefinition]:
        """The tools that the server tells of."""
        return [definition_of_mcp_tool(each) for each in await self._client.list_tools_async(refresh=refresh)]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The server's result, which may be an error; its progress goes to whoever watches the call."""
        return await self._client.call_tool_async(name, dict(arguments), progress=watcher())

    def apiset(self) -> ApiSet:
        """The tools as an ApiSet."""
        found: ApiSet = openapi_engines().apiset_of(self._client)
        return found

    async def close_async(self) -> None:
        """End the session."""
        await self._client.close_async()


def openapi_engines() -> Any:
    """The module of what calls OpenAPI documents; raises ImportError, which names the extra, without its libraries."""
    return import_module("agentrun.toolset.openapi.engine")


def _transport(name: str) -> str:
    """A transport by the names that services and servers have for it."""
    return "sse" if name.lower() in ("sse", "mcp_sse", "") else "streamable_http"
