"""Workspaces by their names: the service knows them by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrun._core.blocking import run
from agentrun._core.paging import numbered
from agentrun.agent_runtime.control import AgentRuntimeControlAPI
from agentrun.config import Config
from agentrun.errors import ResourceNotExistError

# A name keeps its id for as long as the workspace lives; whoever deletes one and makes another gets a new process.
_known: dict[tuple[str, str, str, str], str] = {}


async def resolve_workspace_id_by_name_async(name: str, config: Config | None = None) -> str:
    """The id of the workspace with exactly this name; raises ResourceNotExistError."""
    settings = Config.with_configs(config)
    key = (settings.get_control_endpoint(), settings.get_access_key_id(), settings.get_region_id(), name)
    if key not in _known:
        _known[key] = await _find(name, config)
    return _known[key]


def resolve_workspace_id_by_name(name: str, config: Config | None = None) -> str:
    """The id of the workspace with exactly this name; raises ResourceNotExistError."""
    return run(resolve_workspace_id_by_name_async(name, config))


async def resolve_workspace_ids_by_names_async(names: str, config: Config | None = None) -> str:
    """The ids for names joined by commas, joined in the same way; raises ResourceNotExistError."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return ",".join([await resolve_workspace_id_by_name_async(name, config) for name in wanted])


def resolve_workspace_ids_by_names(names: str, config: Config | None = None) -> str:
    """The ids for names joined by commas, joined in the same way; raises ResourceNotExistError."""
    return run(resolve_workspace_ids_by_names_async(names, config))


async def _find(name: str, config: Config | None) -> str:
    async def page(number: int, size: int) -> Sequence[dict[str, Any]]:
        asked = {"name": name, "pageNumber": number, "pageSize": size}
        answer = await AgentRuntimeControlAPI(config).list_workspaces_async(asked)
        return answer.get("workspaces") or ()

    async for workspace in numbered(page, lambda found: found.get("workspaceId")):
        if workspace.get("name") == name and workspace.get("workspaceId"):
            return str(workspace["workspaceId"])
    raise ResourceNotExistError("Workspace", name)
