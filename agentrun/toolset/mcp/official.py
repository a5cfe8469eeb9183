"""The names of the official client for MCP servers, on the session that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.toolset.mcp.client import McpClient
from agentrun.toolset.mcp.result import McpResult
from agentrun.toolset.schema import ToolInfo

if TYPE_CHECKING:
    from typing_extensions import Self

    from agentrun.toolset.mcp.address import Headers

STREAMABLE = "MCP_STREAMABLE"


async def _listed(client: McpClient) -> list[ToolInfo]:
    return [ToolInfo.from_mcp_tool(tool) for tool in await client.list_tools_async()]


class MCPToolSet:
    """The tools of the MCP server at a URL, over one session for all calls; `transport` is `"sse"` unless given."""

    def __init__(
        self, url: str, config: Config | None = None, *, transport: str = "sse", headers: Headers | None = None
    ) -> None:
        self.url = url
        self.config = config
        self._transport = transport
        self._headers = headers
        self.client = self._made(config)
        self._others: list[tuple[Config, McpClient]] = []

    def new_session(self, config: Config | None = None) -> MCPSession:
        """A session of its own, to be used with `async with` or `with`."""
        merged = Config.with_configs(self.config, config)
        return MCPSession(self.url, merged, transport=self._transport, headers=self._headers)

    def _made(self, config: Config | None) -> McpClient:
        return McpClient(self.url, transport=self._transport, headers=self._headers, config=config)

    def _client(self, config: Config | None) -> McpClient:
        """The client for calls with this Config: another one when it says something else than ours."""
        if config is None or config == self.config:
            return self.client
        for known, client in self._others:
            if known == config:
                return client
        client = self._made(Config.with_configs(self.config, config))
        self._others.append((config, client))
        return client

    async def tools_async(self, config: Config | None = None) -> list[ToolInfo]:
        """All tools."""
        return await _listed(self._client(config))

    def tools(self, config: Config | None = None) -> list[ToolInfo]:
        """All tools."""
        return run(self.tools_async(config))

    async def call_tool_async(
        self, name: str, arguments: Mapping[str, Any] | None = None, config: Config | None = None
    ) -> McpResult:
        """What a tool answers; one that fails answers with `is_error`."""
        return await self._client(config).call_tool_async(name, arguments)

    def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, config: Config | None = None
    ) -> McpResult:
        """What a tool answers; one that fails answers with `is_error`."""
        return run(self.call_tool_async(name, arguments, config))

    async def close_async(self) -> None:
        """End the session; the next call opens another."""
        others, self._others = self._others, []
        for client in (self.client, *(client for _, client in others)):
            await client.close_async()

    def close(self) -> None:
        """End the session; the next call opens another."""
        return run(self.close_async())


class MCPSession:
    """A session with the MCP server at a URL, to be used with `async with` or `with`."""

    def __init__(
        self, url: str, config: Config | None = None, *, transport: str = "sse", headers: Headers | None = None
    ) -> None:
        self.url = url
        self.config = config
        self._toolset = MCPToolSet(url, config, transport=transport, headers=headers)

    def toolsets(self, config: Config | None = None) -> MCPToolSet:
        """The tools of this session; with another Config, those of a session of its own."""
        if config is None:
            return self._toolset
        return self._toolset.new_session(config).toolsets()

    async def list_tools_async(self) -> list[ToolInfo]:
        """All tools."""
        return await self._toolset.tools_async()

    def list_tools(self) -> list[ToolInfo]:
        """All tools."""
        return run(self.list_tools_async())

    async def call_tool_async(self, name: str, arguments: Mapping[str, Any] | None = None) -> McpResult:
        """What a tool answers; one that fails answers with `is_error`."""
        return await self._toolset.call_tool_async(name, arguments)

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> McpResult:
        """What a tool answers; one that fails answers with `is_error`."""
        return run(self.call_tool_async(name, arguments))

    def __enter__(self) -> Self:
        self._toolset.client.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._toolset.close()

    async def __aenter__(self) -> Self:
        await self._toolset.client.open_async()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._toolset.close_async()


class ToolMCPSession:
    """The MCP server of a tool, over one session for all calls.

    `session_affinity` says how it is spoken to: `MCP_STREAMABLE`, or anything else for server-sent events.
    `use_ram_auth=False` leaves requests to the data plane unsigned.
    """

    def __init__(
        self,
        endpoint: str,
        session_affinity: str | None = None,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
        use_ram_auth: bool = True,
    ) -> None:
        if not endpoint:
            raise InvalidInputError("a tool's MCP server needs an endpoint", field="endpoint")
        self.endpoint = endpoint
        self.session_affinity = session_affinity
        transport = "streamable_http" if self.is_streamable else "sse"
        self.client = McpClient(endpoint, transport=transport, headers=headers, config=config, sign=use_ram_auth)

    @property
    def is_streamable(self) -> bool:
        """Whether it speaks streamable HTTP."""
        return self.session_affinity == STREAMABLE

    async def list_tools_async(self) -> list[ToolInfo]:
        """All tools."""
        return await _listed(self.client)

    def list_tools(self) -> list[ToolInfo]:
        """All tools."""
        return run(self.list_tools_async())

    async def call_tool_async(self, name: str, arguments: Mapping[str, Any] | None = None) -> McpResult:
        """What a tool answers; one that fails answers with `is_error`."""
        return await self.client.call_tool_async(name, arguments)

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> McpResult:
        """What a tool answers; one that fails answers with `is_error`."""
        return run(self.call_tool_async(name, arguments))

    async def close_async(self) -> None:
        """End the session; the next call opens another."""
        await self.client.close_async()

    def close(self) -> None:
        """End the session; the next call opens another."""
        return run(self.close_async())
