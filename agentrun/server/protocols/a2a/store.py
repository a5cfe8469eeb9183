"""The tasks of a server: those that run, and as many others as it has room for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun.server.protocols.a2a.rpc import TASK_NOT_FOUND, RpcError
from agentrun.server.protocols.a2a.task import Task

_MOST_BYTES = 256 * 2**20


class TaskStore:
    """Keeps tasks in memory; those that are at rest go when there are too many, the oldest ones first."""

    def __init__(self, most_tasks: int) -> None:
        self._most_tasks = most_tasks
        self._tasks: dict[str, Task] = {}
        self._sizes: dict[str, int] = {}  # In bytes, of those that are at rest.
        self._bytes = 0

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self._tasks.values()))

    def add(self, task: Task) -> None:
        """Keep a task from now on."""
        self._tasks[task.id] = task
        self._make_room()

    def find(self, task_id: str) -> Task:
        """The task of this id; raises RpcError."""
        if task_id not in self._tasks:
            raise RpcError(TASK_NOT_FOUND, f"There is no task {task_id!r}, or no longer")
        return self._tasks[task_id]

    def weigh(self, task: Task) -> None:
        """Count how much there is of a task that is at rest."""
        if task.id in self._tasks:
            self._bytes -= self._sizes.get(task.id, 0)
            self._sizes[task.id] = _size(task.snapshot())
            self._bytes += self._sizes[task.id]
            self._make_room()

    def _make_room(self) -> None:
        for task_id, task in list(self._tasks.items()):
            if len(self._tasks) <= self._most_tasks and self._bytes <= _MOST_BYTES:
                return
            if not task.is_running:
                del self._tasks[task_id]
                self._bytes -= self._sizes.pop(task_id, 0)


def _size(value: Any) -> int:
    """About how many bytes a value takes: those of its texts, and a few for each thing."""
    if isinstance(value, str):
        return 50 + len(value)
    if is_object(value):
        return 50 + sum(_size(entry) for entry in value.values())
    if is_list(value):
        return 50 + sum(_size(entry) for entry in value)
    return 30
