"""Work in the background of a server: begun by one request, asked for by others."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import anyio.to_thread
from anyio import CapacityLimiter
from typing_extensions import NotRequired, TypedDict

from agentrun._serving.openai_error import ApiError
from agentrun.server.callables import makes_awaitable

_HOUR = 3600.0
_log = logging.getLogger("agentrun.server")

Function: TypeAlias = Callable[..., Any]


class TaskStatus(TypedDict):
    """How far a task is: "pending", "running", "finished" or "error", and what came of it, or why nothing did."""

    status: str
    result: Any
    started_at: NotRequired[float]  # Seconds since 1970.


class TaskRunner(Protocol):
    """Runs functions in the background, in this process or in others."""

    def register(self, function: Function, queue: str) -> None:
        """Have a function run for tasks of a queue; before the first of them is submitted."""
        ...

    async def submit(self, function: Function, *args: Any) -> str:
        """Begin a task, and say its id; raises ApiError when there are too many, StorageError when a server is away."""
        ...

    async def status(self, task_id: str) -> TaskStatus:
        """How far a task is; raises ApiError with 404 for one that is not known, or no longer."""
        ...

    async def cancel(self, task_id: str) -> bool:
        """End a task, and say whether it was there to be ended; raises ApiError as `status` does."""
        ...

    async def start(self) -> None:
        """Get ready."""
        ...

    async def close(self) -> None:
        """Finish what is under way, within limits."""
        ...


def unknown_task(task_id: str) -> ApiError:
    """What to answer for a task that is not known."""
    message = f"There is no task {task_id!r}; results are kept for a limited time, and not over a restart of the server"
    return ApiError(404, message, "task_not_found", "task_id")


def failed(error: BaseException) -> str:
    """Why a task came to nothing."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


@dataclass
class _Task:
    work: asyncio.Task[None] | None = None
    status: str = "pending"
    result: Any = None
    started_at: float | None = None

    def begin(self) -> None:
        self.status, self.started_at = "running", time.time()

    def told(self) -> TaskStatus:
        answer: TaskStatus = {"status": self.status, "result": self.result}
        if self.started_at is not None:
            answer["started_at"] = self.started_at
        return answer


class Tasks:
    """Runs tasks in this process: coroutines on the event loop, plain functions in up to `most_threads` threads.

    What came of a task is kept for `keep_seconds`, of the last `most_kept` tasks. In the end tasks have
    `drain_seconds` to finish, then they are cancelled. For one event loop at a time.
    """

    def __init__(
        self,
        *,
        keep_seconds: float = _HOUR,
        most_kept: int = 10_000,
        most_unfinished: int = 10_000,
        most_threads: int = 64,
        drain_seconds: float = 10.0,
    ) -> None:
        self._keep_seconds = keep_seconds
        self._most_kept = most_kept
        self._most_unfinished = most_unfinished
        self._threads = CapacityLimiter(most_threads)
        self._drain_seconds = drain_seconds
        self._unfinished: dict[str, _Task] = {}
        self._finished: dict[str, _Task] = {}  # The oldest first.

    def register(self, function: Function, queue: str) -> None:
        """Every function runs."""

    async def submit(self, function: Function, *args: Any) -> str:
        """Begin a task, and say its id; raises ApiError when there are too many."""
        if len(self._unfinished) >= self._most_unfinished:
            message = (
                f"There are {self._most_unfinished} tasks under way, as many as this server takes; try again later"
            )
            raise ApiError(503, message, "too_many_tasks", type="server_error", headers={"retry-after": "1"})
        task_id = str(uuid.uuid4())
        task = self._unfinished[task_id] = _Task()
        task.work = asyncio.create_task(self._run(task, functools.partial(function, *args)))
        task.work.add_done_callback(lambda _: self._finish(task_id, task))
        return task_id

    async def status(self, task_id: str) -> TaskStatus:
        """How far a task is; raises ApiError with 404 for one that is not known, or no longer."""
        return self._find(task_id).told()

    async def cancel(self, task_id: str) -> bool:
        """End a task, and say whether it was there to be ended; a plain function that has begun is left behind."""
        task = self._find(task_id)
        if task.work is None or task.work.done():
            return False
        task.work.cancel()
        await asyncio.wait([task.work], timeout=1.0)
        return True

    async def start(self) -> None:
        """It is ready."""

    async def close(self) -> None:
        """Give tasks their time to finish, then cancel them; what came of tasks is forgotten."""
        work = [task.work for task in self._unfinished.values() if task.work is not None]
        if work:
            _, late = await asyncio.wait(work, timeout=self._drain_seconds)
            for each in late:
                each.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._finished.clear()

    def _find(self, task_id: str) -> _Task:
        task = self._unfinished.get(task_id) or self._finished.get(task_id)
        if task is None:
            raise unknown_task(task_id)
        return task

    async def _run(self, task: _Task, call: Callable[[], Any]) -> None:
        try:
            task.result = await self._called(task, call)
            task.status = "finished"
        except asyncio.CancelledError as error:
            task.status, task.result = "error", failed(error)
        except (Exception, SystemExit) as error:
            _log.warning("A task in the background failed", exc_info=error)
            task.status, task.result = "error", failed(error)

    async def _called(self, task: _Task, call: Callable[[], Any]) -> Any:
        if makes_awaitable(call):
            task.begin()
            return await call()
        result = await anyio.to_thread.run_sync(_begun(task, call), limiter=self._threads, abandon_on_cancel=True)
        return await result if inspect.isawaitable(result) else result

    def _finish(self, task_id: str, task: _Task) -> None:
        task.work = None
        if task.status in ("pending", "running"):  # It was cancelled before its first step.
            task.status, task.result = "error", failed(asyncio.CancelledError())
        del self._unfinished[task_id]
        self._finished[task_id] = task
        asyncio.get_running_loop().call_later(self._keep_seconds, self._finished.pop, task_id, None)
        if len(self._finished) > self._most_kept:
            del self._finished[next(iter(self._finished))]


def _begun(task: _Task, call: Callable[[], Any]) -> Callable[[], Any]:
    def begin() -> Any:
        task.begin()
        return call()

    return begin
