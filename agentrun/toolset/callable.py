"""What can be called by name: the same verbs for a tool set and for a tool of the platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import PrivateAttr

from agentrun._core.blocking import run
from agentrun._core.closing import Closing
from agentrun._core.resource import Resource
from agentrun.config import Config
from agentrun.toolset.engine import Engine, Engines
from agentrun.toolset.schema import ToolDefinition, ToolInfo


class HasTools(Resource, Closing):
    """A resource whose tools are called; what calls need, such as a session, is kept until `close`."""

    _engines: Engines = PrivateAttr(default_factory=Engines)

    def _engine(self, config: Config | None) -> Engine:
        """What calls the tools; raises ConfigError or InvalidInputError when nothing can."""
        raise NotImplementedError

    def _tools(self, config: Config | None) -> Engine:
        return self._engines.of(self._settings(config), self._engine)

    async def definitions_async(self, config: Config | None = None, *, refresh: bool = False) -> list[ToolDefinition]:
        """The tools as they are, for those who have many; with `refresh` a server is asked for them again."""
        return await self._tools(config).definitions(refresh=refresh)

    def definitions(self, config: Config | None = None, *, refresh: bool = False) -> list[ToolDefinition]:
        """The tools as they are, for those who have many; with `refresh` a server is asked for them again."""
        return run(self.definitions_async(config, refresh=refresh))

    async def list_tools_async(self, config: Config | None = None) -> list[ToolInfo]:
        """The tools, with the schemas of their arguments."""
        return [ToolInfo.from_definition(each) for each in await self.definitions_async(config)]

    def list_tools(self, config: Config | None = None) -> list[ToolInfo]:
        """The tools, with the schemas of their arguments."""
        return run(self.list_tools_async(config))

    async def call_tool_async(
        self, name: str, arguments: Mapping[str, Any] | None = None, config: Config | None = None
    ) -> Any:
        """Call a tool: the answer of an API with its status, or the result of an MCP tool.

        An error that the tool reports is such a result. Raises InvalidInputError, which names the argument that is
        wrong, and TransportError when the tool cannot be reached.
        """
        return await self._tools(config).call(name, arguments or {})

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None, config: Config | None = None) -> Any:
        """Call a tool: the answer of an API with its status, or the result of an MCP tool.

        An error that the tool reports is such a result. Raises InvalidInputError, which names the argument that is
        wrong, and TransportError when the tool cannot be reached.
        """
        return run(self.call_tool_async(name, arguments, config))

    async def close_async(self) -> None:
        """End the session with an MCP server; calling it twice is allowed, and a later call begins a new one."""
        await self._engines.close_async()
