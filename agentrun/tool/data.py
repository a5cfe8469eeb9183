"""The calls that go to one tool."""

from __future__ import annotations

from agentrun._core.api import DataAPI
from agentrun._core.blocking import run
from agentrun._core.extensions import Extension
from agentrun._core.model import Model
from agentrun._core.session import ByteStream
from agentrun.config import Config

LOGS = Extension("Tool.logs", "Read the logs of the function that the tool runs in")


class _Log(Model):
    lines: list[str]


class ToolLogAPI(DataAPI):
    """What the server of a tool wrote, where the platform runs it."""

    def __init__(self, tool_name: str, config: Config | None = None) -> None:
        super().__init__("tool-logs", tool_name, config=config)

    async def read_async(self, tail: int) -> list[str]:
        """The last lines; raises UnsupportedError on the cloud."""
        LOGS.require(self._config(None).get_data_endpoint())
        return _Log.from_wire(await self._call("GET", query={"tail": tail})).lines

    def read(self, tail: int) -> list[str]:
        """The last lines; raises UnsupportedError on the cloud."""
        return run(self.read_async(tail))


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
