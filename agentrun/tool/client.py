"""Tools for those who do not want to hold the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrun._core.api import API
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.tool.model import ToolCreateInput, ToolListInput, ToolUpdateInput
from agentrun.tool.tool import Tool


class ToolClient(API):
    """The operations on tools, with a Config given once."""

    async def create_async(
        self, input: ToolCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Tool:
        """Create a tool; raises ResourceAlreadyExistError when the name is taken."""
        return await Tool.create_async(input, self._config(config), **fields)

    def create(self, input: ToolCreateInput | None = None, config: Config | None = None, **fields: Any) -> Tool:
        """Create a tool; raises ResourceAlreadyExistError when the name is taken."""
        return run(self.create_async(input, config, **fields))

    async def get_async(self, name: str, config: Config | None = None) -> Tool:
        """Read a tool."""
        return await Tool.get_by_name_async(name, self._config(config))

    def get(self, name: str, config: Config | None = None) -> Tool:
        """Read a tool."""
        return run(self.get_async(name, config))

    async def update_async(
        self, name: str, input: ToolUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Tool:
        """Change a tool; what is not given stays."""
        return await Tool.update_by_name_async(name, input, self._config(config), **fields)

    def update(
        self, name: str, input: ToolUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Tool:
        """Change a tool; what is not given stays."""
        return run(self.update_async(name, input, config, **fields))

    async def delete_async(self, name: str, config: Config | None = None) -> Tool:
        """Delete a tool; returns what it was."""
        return await Tool.delete_by_name_async(name, self._config(config))

    def delete(self, name: str, config: Config | None = None) -> Tool:
        """Delete a tool; returns what it was."""
        return run(self.delete_async(name, config))

    async def list_async(self, input: ToolListInput | None = None, config: Config | None = None) -> Sequence[Tool]:
        """One page of tools."""
        return await Tool.page_async(input or ToolListInput(), self._config(config))

    def list(self, input: ToolListInput | None = None, config: Config | None = None) -> Sequence[Tool]:
        """One page of tools."""
        return run(self.list_async(input, config))
