"""The control operations on tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.api import ControlAPI, Operation
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.tool.model import ToolCreateInput, ToolListInput, ToolUpdateInput

_COLLECTION = "/2025-09-10/agents/tools"
_ITEM = f"{_COLLECTION}/{{tool_name}}"
CREATE = Operation("CreateTool", "POST", _COLLECTION)
GET = Operation("GetTool", "GET", _ITEM)
UPDATE = Operation("UpdateTool", "PUT", _ITEM)
DELETE = Operation("DeleteTool", "DELETE", _ITEM)
LIST = Operation("ListTools", "GET", _COLLECTION)


class ToolControlAPI(ControlAPI):
    """One method per operation; each answers the envelope's data in the wire's names."""

    kind = "Tool"

    async def create_tool_async(
        self, input: ToolCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a tool."""
        return await self._call(CREATE, body=input, label=input.tool_name, headers=headers, config=config)

    def create_tool(
        self, input: ToolCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a tool."""
        return run(self.create_tool_async(input, headers, config))

    async def get_tool_async(
        self, name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a tool."""
        return await self._call(GET, name, headers=headers, config=config)

    def get_tool(
        self, name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a tool."""
        return run(self.get_tool_async(name, headers, config))

    async def update_tool_async(
        self, name: str, input: ToolUpdateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Change a tool."""
        return await self._call(UPDATE, name, body=input, headers=headers, config=config)

    def update_tool(
        self, name: str, input: ToolUpdateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Change a tool."""
        return run(self.update_tool_async(name, input, headers, config))

    async def delete_tool_async(
        self, name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a tool; answers what it was."""
        return await self._call(DELETE, name, headers=headers, config=config)

    def delete_tool(
        self, name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a tool; answers what it was."""
        return run(self.delete_tool_async(name, headers, config))

    async def list_tools_async(
        self, input: ToolListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of tools."""
        return await self._call(LIST, query=input, headers=headers, config=config)

    def list_tools(
        self, input: ToolListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of tools."""
        return run(self.list_tools_async(input, headers, config))
