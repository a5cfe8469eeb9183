"""Pages of tasks, those that changed last first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from agentrun.server.protocols.a2a.requests import ListParams
from agentrun.server.protocols.a2a.rpc import INVALID_PARAMS, RpcError
from agentrun.server.protocols.a2a.states import ALL
from agentrun.server.protocols.a2a.task import Task

_BETWEEN = "~"


def page(tasks: Iterable[Task], params: ListParams, owner: str | None) -> dict[str, Any]:
    """One page of those that a client may see; raises RpcError.

    Who shows a key sees the tasks of that key. Others see those whose conversation they know.
    """
    found = sorted((task for task in tasks if _matches(task, params, owner)), key=_place, reverse=True)
    rest = [task for task in found if not params.page_token or _place(task) < _cursor(params.page_token)]
    shown = rest[: params.page_size]
    more = len(rest) > len(shown)
    return {
        "tasks": [task.snapshot(params.history_length, with_artifacts=params.include_artifacts) for task in shown],
        "nextPageToken": _BETWEEN.join(_place(shown[-1])) if more else "",
        "pageSize": params.page_size,
        "totalSize": len(found),
    }


def _place(task: Task) -> tuple[str, str]:
    return task.timestamp, task.id


def _cursor(token: str) -> tuple[str, str]:
    timestamp, between, task_id = token.partition(_BETWEEN)
    if not between:
        raise RpcError(INVALID_PARAMS, "pageToken is not one that this server gave")
    return timestamp, task_id


def _matches(task: Task, params: ListParams, owner: str | None) -> bool:
    if task.owner != owner or (owner is None and not params.context_id):
        return False
    if params.context_id and task.context_id != params.context_id:
        return False
    if params.status and params.status in ALL and task.state != params.status:
        return False
    since = params.status_timestamp_after
    return since is None or _moment(task.timestamp) > _moment(since)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise RpcError(INVALID_PARAMS, f"statusTimestampAfter is no time: {text!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
