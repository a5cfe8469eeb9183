"""Runs of an agent in the background, whose streams are read by whoever wants, from any place on."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING, Any

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from agentrun._serving.openai_error import ApiError
from agentrun.errors import InvalidInputError, StorageError
from agentrun.server.events import AgentEvent
from agentrun.server.invoker import AgentInvoker
from agentrun.server.protocols.agent_api.handler import question_of
from agentrun.server.protocols.agent_api.model import AgentRequest, RunStatus
from agentrun.server.protocols.agent_api.request import read_request
from agentrun.server.protocols.agent_api.stream import stream
from agentrun.server.runs.frames import Frame
from agentrun.server.runs.journal import Journal, Recorded, State
from agentrun.server.runs.recording import write_down
from agentrun.server.runs.resuming import LAST_EVENT_ID, event_number, told, unavailable
from agentrun.server.runs.run import Interruption, Run
from agentrun.server.runs.sessions import Sessions, error_event
from agentrun.server.runs.task_routes import answering, submitted
from agentrun.server.runs.tasks import TaskStatus, unknown_task
from agentrun.server.runs.worker_loop import WorkerLoop
from agentrun.server.streaming import EventStream, error_answer

if TYPE_CHECKING:
    from agentrun.server.runs.celery_tasks import CeleryTasks

DEFAULT_QUEUE = "stream_query"
_HOUR = 3600.0
_DRAIN_SECONDS = 10.0
_MOST_RUNNING = 1000
_POLL_SECONDS = 0.1


class StreamTasks:
    """Runs an agent for requests of the Agent API, in this process or, with `celery`, in workers.

    A run ends with the code TASK_TIMEOUT after `timeout` seconds, or after those of the request's own `timeout`. Its
    events are kept for an hour. `running` makes the agent ready where no server does.
    """

    def __init__(
        self,
        invoker: AgentInvoker,
        journal: Journal,
        sessions: Sessions,
        running: Callable[[], AbstractAsyncContextManager[None]],
        *,
        queue: str = DEFAULT_QUEUE,
        timeout: float | None = None,
        celery: CeleryTasks | None = None,
    ) -> None:
        self._invoker = invoker
        self._journal = journal
        self._sessions = sessions
        self._worker = WorkerLoop(running)
        self._queue = queue
        self._timeout = timeout
        self._celery = celery
        self._home: asyncio.AbstractEventLoop | None = None
        self._work: dict[str, asyncio.Task[None]] = {}
        if celery is not None:
            celery.register(self.stream_query, queue)

    def routes(self, path: str) -> Sequence[BaseRoute]:
        """`POST path` begins a run, `GET path/ID` says how far it is, `GET path/ID/stream` gives its events."""

        async def submit(request: Request) -> Any:
            return submitted(await self.submit(await request.body()), self._queue, "Stream query task")

        async def status(request: Request) -> Any:
            return await self.status(request.path_params["task_id"])

        async def cancel(request: Request) -> Any:
            task_id = request.path_params["task_id"]
            return {"task_id": task_id, "canceled": await self.cancel(task_id)}

        return [
            Route(path, answering(submit), methods=["POST"]),
            Route(f"{path}/{{task_id}}", answering(status), methods=["GET"]),
            Route(f"{path}/{{task_id}}/stream", self._stream, methods=["GET"]),
            Route(f"{path}/{{task_id}}/cancel", answering(cancel), methods=["POST"]),
        ]

    async def submit(self, body: bytes) -> str:
        """Begin a run, and say its id; raises ApiError for a request that is wrong, StorageError."""
        try:
            asked = read_request(body)
            question_of(asked)
        except InvalidInputError as error:
            raise ApiError(422, str(error), "INVALID_REQUEST", error.field) from error
        timeout = _timeout_of(asked, self._timeout)
        task_id = str(uuid.uuid4())
        if self._celery is not None:
            document = asked.model_dump(mode="json", exclude_unset=True)
            await self._celery.submit_as(task_id, self.stream_query, document, task_id, timeout)
        else:
            await self._begin(asked, task_id, timeout)
        return task_id

    async def status(self, task_id: str) -> TaskStatus:
        """How far a run is, and its last event; raises ApiError with 404 for one that is not known, StorageError."""
        found = await self._journal.find(_key(task_id))
        if found is not None:
            return _told(await found.state())
        if self._celery is not None:
            return await self._celery.status(task_id)
        raise unknown_task(task_id)

    async def follow(self, task_id: str, after: int = -1) -> AsyncGenerator[bytes, None]:
        """The frames of a run behind a number, as they come; raises ApiError, StorageError."""
        return told((await self._find(task_id)).follow(after))

    async def cancel(self, task_id: str) -> bool:
        """End a run, and say whether it was there to be ended; raises ApiError with 404, StorageError."""
        found = await self._journal.find(_key(task_id))
        if found is None:
            if self._celery is None:
                raise unknown_task(task_id)
            return await self._celery.cancel(task_id)
        state = await found.state()
        if state.is_over:
            return False
        if await self._sessions.stop(state.about["user_id"], state.about["session_id"]):
            return True
        work = self._work.get(task_id)
        if work is not None:
            work.cancel()
        return work is not None

    async def start(self) -> None:
        """The server's event loop is there, with the agent ready on it."""
        self._home = asyncio.get_running_loop()

    async def close(self) -> None:
        """Give runs some time to finish, then cancel them."""
        self._home = None
        if self._work:
            _, late = await asyncio.wait(self._work.values(), timeout=_DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._journal.close()

    async def stream_query(self, document: dict[str, Any], task_id: str, timeout: float | None) -> None:
        """What a worker of Celery does: a run on the event loop of the server, or of the worker where that is alone."""
        home = await asyncio.to_thread(self._worker.get) if self._home is None else self._home
        run = self._run(AgentRequest.model_validate(document), task_id, timeout)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run, home))

    async def _begin(self, asked: AgentRequest, task_id: str, timeout: float | None) -> None:
        if len(self._work) >= _MOST_RUNNING:
            message = f"There are {_MOST_RUNNING} runs under way, as many as this server takes; try again later"
            raise ApiError(503, message, "too_many_tasks", type="server_error", headers={"retry-after": "1"})
        begun = asyncio.Event()
        task = self._work[task_id] = asyncio.create_task(self._run(asked, task_id, timeout, begun))
        task.add_done_callback(lambda _: self._work.pop(task_id, None))
        beginning = asyncio.ensure_future(begun.wait())
        await asyncio.wait({task, beginning}, return_when=asyncio.FIRST_COMPLETED)
        beginning.cancel()
        if not begun.is_set():
            task.result()

    async def _run(
        self, asked: AgentRequest, task_id: str, timeout: float | None, begun: asyncio.Event | None = None
    ) -> None:
        about = {"user_id": asked.user_id, "session_id": asked.session_id, "started_at": time.time()}
        writing = await self._journal.begin(_key(task_id), about, keep_seconds=_HOUR, waits=False)
        if writing is None:
            return  # A broker that gave the task to two workers.
        if begun is not None:
            begun.set()
        await write_down(writing, stream(asked, within(timeout, self._invoker.invoke_stream(question_of(asked)))))

    async def _find(self, task_id: str) -> Recorded:
        while True:
            found = await self._journal.find(_key(task_id))
            if found is not None:
                return found
            if self._celery is None or (await self._celery.status(task_id))["status"] == "error":
                raise unknown_task(task_id)
            await anyio.sleep(_POLL_SECONDS)

    async def _stream(self, request: Request) -> Response:
        last = request.headers.get(LAST_EVENT_ID) or request.query_params.get("last_event_id")
        try:
            after = event_number(last) if last else -1
            return EventStream(await self.follow(request.path_params["task_id"], after))
        except ApiError as error:
            return error_answer(error)
        except StorageError as error:
            return error_answer(unavailable(error))


async def within(seconds: float | None, events: AsyncGenerator[AgentEvent, None]) -> AsyncGenerator[AgentEvent, None]:
    """The events of a run, which is interrupted when it takes longer."""
    run = Run(lambda: None)
    end = asyncio.get_running_loop().call_later(seconds, run.interrupt, Interruption.LATE) if seconds else None
    try:
        async with aclosing(run.events(events)) as inner:
            async for event in inner:
                yield event
    finally:
        if end is not None:
            end.cancel()
    if run.interruption is not None:
        yield error_event("TASK_TIMEOUT", f"The task took longer than {seconds:g} s", 504)


def _key(task_id: str) -> str:
    # Ids of responses are chosen by callers; theirs are no ids of tasks.
    return f"task:{task_id}"


def _timeout_of(asked: AgentRequest, default: float | None) -> float | None:
    timeout = (asked.model_extra or {}).get("timeout")
    if timeout is None:
        return default
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        raise ApiError(
            422, f"timeout is a number of seconds above 0, and not {timeout!r}", "INVALID_REQUEST", "timeout"
        )
    return timeout if default is None else min(timeout, default)


def _told(state: State) -> TaskStatus:
    last = _event(state.last)
    status = "running"
    if state.is_over:
        is_complete = state.error is None and last is not None and last.get("status") == RunStatus.COMPLETED.value
        status = "finished" if is_complete else "error"
    result = state.error.message if state.error is not None else last
    answer: TaskStatus = {"status": status, "result": result}
    if "started_at" in state.about:
        answer["started_at"] = state.about["started_at"]
    return answer


def _event(frame: Frame | None) -> dict[str, Any] | None:
    if frame is None:
        return None
    try:
        found: dict[str, Any] = json.loads(frame.data.removeprefix(b"data: "))
    except ValueError:  # What an agent wrote as it is.
        return None
    return found
