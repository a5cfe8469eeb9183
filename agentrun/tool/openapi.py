"""The HTTP API behind a tool, called as functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.api import DataAPI
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.errors import ConfigError
from agentrun.toolset.openapi import OpenAPI, OpenAPIResult
from agentrun.toolset.schema import ToolInfo


class ToolOpenAPIClient:
    """The operations of a document, at its own server or else at `fallback_server_url`, which is the platform's.

    Requests to the latter are signed, unless `use_ram_auth` is False.
    """

    def __init__(
        self,
        protocol_spec: str | None = None,
        headers: Mapping[str, str] | None = None,
        fallback_server_url: str | None = None,
        config: Config | None = None,
        use_ram_auth: bool = True,
    ) -> None:
        if not protocol_spec:
            raise ConfigError("the tool has no OpenAPI document", hint="Give it a protocol_spec")
        self.api = OpenAPI(protocol_spec, headers=headers, config=config)
        if self.api.server_url is None and fallback_server_url:
            platform = DataAPI(config=config)
            sign = platform.signer() if use_ram_auth else None
            self.api = OpenAPI(self.api.document, fallback_server_url, headers, config=config, sign=sign)

    @property
    def server_url(self) -> str | None:
        """Where calls go; None when nothing names a server."""
        return self.api.server_url

    async def list_tools_async(self) -> list[ToolInfo]:
        """All operations."""
        return self.api.list_tools()

    def list_tools(self) -> list[ToolInfo]:
        """All operations."""
        return run(self.list_tools_async())

    async def call_tool_async(self, name: str, arguments: Mapping[str, Any] | None = None) -> OpenAPIResult:
        """The server's answer, whatever its status."""
        return await self.api.invoke_tool_async(name, arguments)

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> OpenAPIResult:
        """The server's answer, whatever its status."""
        return run(self.call_tool_async(name, arguments))
