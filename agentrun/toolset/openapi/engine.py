"""The operations of an OpenAPI document, as what calls the tools of a resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentrun._core.closing import Closing
from agentrun.config import Config
from agentrun.toolset.openapi.apiset import ApiSet
from agentrun.toolset.openapi.document import Document
from agentrun.toolset.openapi.openapi import OpenAPI
from agentrun.toolset.schema import ToolDefinition

if TYPE_CHECKING:
    from agentrun._core.api import DataAPI
    from agentrun.toolset.mcp import McpClient


class OpenAPIEngine(Closing):
    """Calls operations by HTTP."""

    def __init__(self, api: OpenAPI) -> None:
        self._api = api

    @classmethod
    def of(
        cls,
        document: str,
        base_url: str | None,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        config: Config | None,
    ) -> OpenAPIEngine:
        """Calls at a URL, with headers and a query that each call carries."""
        return cls(OpenAPI(document, base_url, headers, query, config))

    @classmethod
    def of_tool(
        cls, document: str, platform: DataAPI, config: Config | None, *, with_credential: bool
    ) -> OpenAPIEngine:
        """Calls at the servers that the document names, or through the platform, which then adds the credential."""
        read = Document.read(document)
        if read.top.object().get("servers") and not with_credential:
            return cls(OpenAPI(read, config=config))
        return cls(OpenAPI(read, platform.url(), config=config, sign=platform.signer()))

    async def definitions(self, *, refresh: bool = False) -> list[ToolDefinition]:
        """The operations of the document, which does not change."""
        return self._api.definitions()

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The server's answer, whatever its status."""
        return await self._api.invoke_tool_async(name, dict(arguments))

    def apiset(self) -> ApiSet:
        """The tools as an ApiSet."""
        return ApiSet(self._api.definitions(), self._api)

    async def close_async(self) -> None:
        """Nothing is held."""


def apiset_of(client: McpClient) -> ApiSet:
    """The tools of an MCP server as an ApiSet."""
    return ApiSet.from_mcp_tools(client.list_tools(), client)
