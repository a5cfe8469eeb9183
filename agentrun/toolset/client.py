"""Tool sets for those who do not want to hold the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrun._core.api import API
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.toolset.model import ToolSetCreateInput, ToolSetListInput, ToolSetUpdateInput
from agentrun.toolset.toolset import ToolSet


class ToolSetClient(API):
    """The operations on tool sets, with a Config given once."""

    async def create_async(
        self, input: ToolSetCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> ToolSet:
        """Create a tool set; raises ResourceAlreadyExistError when the name is taken."""
        return await ToolSet.create_async(input, self._config(config), **fields)

    def create(self, input: ToolSetCreateInput | None = None, config: Config | None = None, **fields: Any) -> ToolSet:
        """Create a tool set; raises ResourceAlreadyExistError when the name is taken."""
        return run(self.create_async(input, config, **fields))

    async def get_async(self, name: str, config: Config | None = None) -> ToolSet:
        """Read a tool set."""
        return await ToolSet.get_by_name_async(name, self._config(config))

    def get(self, name: str, config: Config | None = None) -> ToolSet:
        """Read a tool set."""
        return run(self.get_async(name, config))

    async def update_async(
        self, name: str, input: ToolSetUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> ToolSet:
        """Change a tool set; what is not given stays."""
        return await ToolSet.update_by_name_async(name, input, self._config(config), **fields)

    def update(
        self, name: str, input: ToolSetUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> ToolSet:
        """Change a tool set; what is not given stays."""
        return run(self.update_async(name, input, config, **fields))

    async def delete_async(self, name: str, config: Config | None = None) -> ToolSet:
        """Delete a tool set; returns what it was."""
        return await ToolSet.delete_by_name_async(name, self._config(config))

    def delete(self, name: str, config: Config | None = None) -> ToolSet:
        """Delete a tool set; returns what it was."""
        return run(self.delete_async(name, config))

    async def list_async(
        self, input: ToolSetListInput | None = None, config: Config | None = None
    ) -> Sequence[ToolSet]:
        """One page of tool sets."""
        return await ToolSet.page_async(input or ToolSetListInput(), self._config(config))

    def list(self, input: ToolSetListInput | None = None, config: Config | None = None) -> Sequence[ToolSet]:
        """One page of tool sets."""
        return run(self.list_async(input, config))
