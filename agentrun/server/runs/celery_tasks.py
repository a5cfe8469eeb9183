"""Work in the background through Celery: in workers, wherever they are, that share a broker with the server."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread
from celery import Celery, states  # pyright: ignore[reportMissingTypeStubs]
from celery.exceptions import Ignore, TaskRevokedError  # pyright: ignore[reportMissingTypeStubs]
from celery.worker import WorkController, state  # pyright: ignore[reportMissingTypeStubs]
from kombu.entity import Queue

from agentrun.errors import InvalidInputError, StorageError
from agentrun.server.protocols.protocol import dumps
from agentrun.server.runs.tasks import Function, TaskStatus, failed, unknown_task

T = TypeVar("T")

_HOUR = 3600
_SUBMITTED = "SUBMITTED"
_DRAIN_SECONDS = 10.0
_WATCH_SECONDS = 0.5
_STATUSES = {
    _SUBMITTED: "pending",
    states.RECEIVED: "pending",
    states.RETRY: "pending",
    states.STARTED: "running",
    states.SUCCESS: "finished",
    states.FAILURE: "error",
    states.REVOKED: "error",
}
# The package has no types.
_Queue, _WorkController = cast(Any, Queue), cast(Any, WorkController)
_log = logging.getLogger("agentrun.server")


class CeleryTasks:
    """Runs tasks in workers of Celery; arguments and results are JSON.

    A function is the task `tasks.MODULE.NAME`, so workers have to import the module that registers it: they are
    started with `celery -A MODULE:NAME worker`, where NAME is what `celery` of this object is called there, or, with
    `embedded_worker`, run in a thread of this process.
    """

    def __init__(
        self,
        broker_url: str,
        backend_url: str,
        *,
        keep_seconds: int = _HOUR,
        embedded_worker: bool = False,
        worker_threads: int = 4,
    ) -> None:
        self.celery: Any = Celery("agentrun", broker=broker_url, backend=backend_url, set_as_current=False)
        self.celery.conf.update(
            accept_content=["json"],
            result_expires=keep_seconds,
            broker_connection_retry_on_startup=True,
            worker_hijack_root_logger=False,
            # A server that is away is an error in time, not a request that hangs.
            broker_transport_options={"socket_connect_timeout": 5, "max_retries": 1},
            redis_retry_on_timeout=False,
            result_backend_transport_options={"retry_policy": {"max_retries": 1, "timeout": 5.0}},
            task_queues=[],
        )
        self._names: dict[Function, str] = {}
        self._queues: dict[str, str] = {}
        self._is_closing = False
        self._worker = _EmbeddedWorker(self.celery, worker_threads) if embedded_worker else None

    def register(self, function: Function, queue: str = "celery") -> None:
        """Have workers run a function for tasks of a queue."""
        name = f"tasks.{function.__module__}.{function.__name__}"
        self._names[function] = name
        self._queues[name] = queue
        if queue not in {each.name for each in self.celery.conf.task_queues}:
            self.celery.conf.task_queues = [*self.celery.conf.task_queues, _Queue(queue)]

        def run(task: Any, *args: Any) -> Any:
            return self._run(functools.partial(function, *args), task.request.id)

        self.celery.task(run, name=name, bind=True, typing=False, shared=False)

    async def submit(self, function: Function, *args: Any) -> str:
        """Begin a task, and say its id; raises StorageError when the broker or the backend is away."""
        task_id = str(uuid.uuid4())
        await self.submit_as(task_id, function, *args)
        return task_id

    async def submit_as(self, task_id: str, function: Function, *args: Any) -> None:
        """Begin a task of this id; raises as `submit` does."""
        name = self._names.get(function)
        if name is None:
            raise InvalidInputError(
                f"{getattr(function, '__name__', function)} is no task", hint="Register it first, where workers do too"
            )
        # JSON, whatever the arguments are made of.
        arguments = json.loads(dumps(args))

        def send() -> None:
            # First this: else nobody could tell a task that waits from one that never was.
            self.celery.backend.store_result(task_id, None, _SUBMITTED)
            self.celery.send_task(name, arguments, task_id=task_id, queue=self._queues[name], retry=False)

        await _asked(send)

    async def status(self, task_id: str) -> TaskStatus:
        """How far a task is; raises ApiError with 404 for one that is not known, or no longer."""
        found: dict[str, Any] = await _asked(lambda: self.celery.backend.get_task_meta(task_id))
        if found["status"] == states.PENDING:
            raise unknown_task(task_id)
        result: Any = found.get("result")
        if found["status"] == states.STARTED:
            return {"status": "running", "result": None, "started_at": float(result["started_at"])}
        if found["status"] in states.EXCEPTION_STATES:
            result = failed(asyncio.CancelledError()) if found["status"] == states.REVOKED else failed(result)
        return {"status": _STATUSES.get(found["status"], "pending"), "result": result}

    async def cancel(self, task_id: str) -> bool:
        """End a task, and say whether it was there to be ended; a plain function only where workers are processes."""
        if (await self.status(task_id))["status"] in ("finished", "error"):
            return False

        def revoke() -> None:
            self.celery.backend.store_result(task_id, TaskRevokedError("canceled"), states.REVOKED)
            self.celery.control.revoke(task_id, terminate=True)

        await _asked(revoke)
        return True

    async def start(self) -> None:
        """Start the embedded worker."""
        if self._worker is not None:
            await anyio.to_thread.run_sync(self._worker.start)

    async def close(self) -> None:
        """End the embedded worker, when it has finished what it runs."""
        if self._worker is not None and not await anyio.to_thread.run_sync(self._worker.stop, _DRAIN_SECONDS):
            self._is_closing = True  # Coroutines that are late are cancelled.
            await anyio.to_thread.run_sync(self._worker.stop, 2 * _WATCH_SECONDS)
        await anyio.to_thread.run_sync(self.celery.close)

    def _run(self, call: Callable[[], Any], task_id: str) -> Any:
        """What a worker does."""
        if self._is_revoked(task_id):
            raise Ignore
        self.celery.backend.store_result(task_id, {"started_at": time.time()}, states.STARTED)
        result = call()
        if inspect.isawaitable(result):
            result = anyio.run(self._awaited, result, task_id)
        if self._is_revoked(task_id):
            raise Ignore
        return json.loads(dumps(result))

    async def _awaited(self, result: Any, task_id: str) -> Any:
        """What a coroutine comes to, which is cancelled when its task is."""
        work = asyncio.ensure_future(result)
        while not work.done():
            await asyncio.wait({work}, timeout=_WATCH_SECONDS)
            if not work.done() and (self._is_closing or await anyio.to_thread.run_sync(self._is_revoked, task_id)):
                work.cancel()
        if work.cancelled():
            raise Ignore if self._is_revoked(task_id) else RuntimeError("The worker ended before the task")
        return work.result()

    def _is_revoked(self, task_id: str) -> bool:
        return bool(self.celery.backend.get_state(task_id) == states.REVOKED)


async def _asked(call: Callable[[], T]) -> T:
    """What Celery answers, which waits for it; raises StorageError."""
    try:
        return await anyio.to_thread.run_sync(call)
    except Exception as error:  # Each kind of broker and backend has errors of its own, whose texts may have its URL.
        raise StorageError(
            f"Celery cannot do it: {type(error).__name__}", hint="Check its broker and its backend, and that they run"
        ) from None


class _EmbeddedWorker:
    """A worker of Celery in a thread of this process, of which there may be one."""

    def __init__(self, celery: Any, threads: int) -> None:
        self._celery = celery
        self._threads = threads
        self._thread: threading.Thread | None = None
        self._is_ready = threading.Event()

    def start(self) -> None:
        """Start, and wait until it takes tasks."""
        if self._thread is not None:
            return
        self._celery.finalize()
        self._celery.set_default()  # Its threads look tasks up there.
        worker: Any = _WorkController(
            app=self._celery,
            pool="threads",
            concurrency=self._threads,
            hostname=f"embedded-{uuid.uuid4().hex[:8]}@agentrun",
            loglevel="WARNING",
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            ready_callback=self._ready,
        )
        self._thread = threading.Thread(target=worker.start, name="agentrun-celery", daemon=True)
        self._thread.start()
        self._is_ready.wait(10)

    def _ready(self, _: Any) -> None:
        self._is_ready.set()

    def stop(self, seconds: float) -> bool:
        """Let it finish what it runs, and end; False when it has not within some seconds."""
        if self._thread is None:
            return True
        state.should_stop = 0
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        state.should_stop = None
        self._thread = None
        self._is_ready.clear()
        return True
