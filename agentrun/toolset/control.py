"""The operations on tool sets, which the devs service keeps: signed as on the control plane, without an envelope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.api import ControlAPI, Operation, object_of
from agentrun._core.blocking import run
from agentrun._core.session import Reply
from agentrun.config import Config
from agentrun.toolset.model import ToolSetCreateInput, ToolSetListInput, ToolSetUpdateInput

VERSION = "2023-07-14"
_COLLECTION = f"/{VERSION}/toolsets"
_ITEM = f"{_COLLECTION}/{{name}}"
CREATE = Operation("CreateToolset", "POST", _COLLECTION, VERSION)
GET = Operation("GetToolset", "GET", _ITEM, VERSION)
UPDATE = Operation("UpdateToolset", "PUT", _ITEM, VERSION)
DELETE = Operation("DeleteToolset", "DELETE", _ITEM, VERSION)
LIST = Operation("ListToolsets", "GET", _COLLECTION, VERSION)
PUBLISH = Operation("PublishToolset", "POST", f"{_ITEM}/publish", VERSION)


class ToolControlAPI(ControlAPI):
    """One method per operation; each answers the service's document in the wire's names."""

    kind = "ToolSet"

    def _endpoint(self, settings: Config) -> str:
        return settings.get_devs_endpoint()

    def _data(self, reply: Reply) -> dict[str, Any]:
        return object_of(reply)

    async def create_toolset_async(
        self, input: ToolSetCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a tool set."""
        return await self._call(CREATE, body=input, label=input.name, headers=headers, config=config)

    def create_toolset(
        self, input: ToolSetCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a tool set."""
        return run(self.create_toolset_async(input, headers, config))

    async def get_toolset_async(
        self, name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a tool set."""
        return await self._call(GET, name, headers=headers, config=config)

    def get_toolset(
        self, name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a tool set."""
        return run(self.get_toolset_async(name, headers, config))

    async def update_toolset_async(
        self,
        name: str,
        input: ToolSetUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a tool set."""
        return await self._call(UPDATE, name, body=input, headers=headers, config=config)

    def update_toolset(
        self,
        name: str,
        input: ToolSetUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a tool set."""
        return run(self.update_toolset_async(name, input, headers, config))

    async def delete_toolset_async(
        self, name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a tool set; answers what it was."""
        return await self._call(DELETE, name, headers=headers, config=config)

    def delete_toolset(
        self, name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a tool set; answers what it was."""
        return run(self.delete_toolset_async(name, headers, config))

    async def list_toolsets_async(
        self, input: ToolSetListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of tool sets, as `{"data": [...], "totalCount": ...}`."""
        return await self._call(LIST, query=input, headers=headers, config=config)

    def list_toolsets(
        self, input: ToolSetListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of tool sets, as `{"data": [...], "totalCount": ...}`."""
        return run(self.list_toolsets_async(input, headers, config))

    async def publish_toolset_async(
        self, name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Make what was changed last the one that callers get."""
        return await self._call(PUBLISH, name, headers=headers, config=config)

    def publish_toolset(
        self, name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Make what was changed last the one that callers get."""
        return run(self.publish_toolset_async(name, headers, config))
