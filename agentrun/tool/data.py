"""The calls that go to one tool."""

from __future__ import annotations

from agentrun._core.api import DataAPI
from agentrun._core.blocking import run
from agentrun._core.session import ByteStream
from agentrun.config import Config


class ToolDataAPI(DataAPI):
    """One method per endpoint of a tool; `url` gives the addresses of its MCP server."""

    def __init__(self, tool_name: str, config: Config | None = None) -> None:
        super().__init__("tools", tool_name, config=config)

    async def download_async(self) -> ByteStream:
        """The archive of a skill, as it arrives."""
        return await self._open("GET", "/download")

    def download(self) -> ByteStream:
        """The archive of a skill, as it arrives."""
        return run(self.download_async())
