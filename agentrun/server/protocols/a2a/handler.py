"""A2A over HTTP: `POST /a2a` for everything, and the agent's card where clients look for it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from agentrun._serving.openai_error import ApiError
from agentrun.server.invoker import AgentInvoker
from agentrun.server.model import A2AProtocolConfig, AgentRequest, ServerConfig
from agentrun.server.protocols.a2a import card
from agentrun.server.protocols.a2a.dialect import Dialect, OldDialect
from agentrun.server.protocols.a2a.listing import page
from agentrun.server.protocols.a2a.requests import ListParams, SendParams, TaskParams, owner_of, question, read
from agentrun.server.protocols.a2a.rpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    PUSH_NOT_SUPPORTED,
    UNSUPPORTED_OPERATION,
    VERSION_NOT_SUPPORTED,
    RpcError,
    answer,
    call_of,
    document_of,
    id_of,
)
from agentrun.server.protocols.a2a.store import TaskStore
from agentrun.server.protocols.a2a.task import Task
from agentrun.server.protocols.a2a.telling import work
from agentrun.server.protocols.protocol import BaseProtocolHandler, Endpoint, dumps
from agentrun.server.streaming import EventStream, error_answer, until_gone

Json = dict[str, Any]

_DEFAULTS = A2AProtocolConfig()
_SECONDS_TO_STOP = 5.0
_NEW, _OLD = Dialect(), OldDialect()


class _Asked(NamedTuple):
    """A request on its way to an answer."""

    request: Request
    call_id: str | int | None
    dialect: Dialect
    params: Json

    def result(self, value: Any) -> Json:
        return answer(self.call_id, {"result": value})

    def frame(self, value: Any) -> bytes:
        return b"data: %b\n\n" % dumps(self.result(value))


class A2AProtocolHandler(BaseProtocolHandler):
    """Serves an agent to other agents."""

    name = "a2a"

    def __init__(self, config: ServerConfig | None = None) -> None:
        self._config = (config.a2a if config else None) or _DEFAULTS
        self._needs_key = bool(config and config.api_keys)
        self._tasks = TaskStore(self._config.most_tasks)

    def get_prefix(self) -> str:
        """The path of the endpoint."""
        return card.endpoint_path(self._config)

    def endpoints(self, agent_invoker: AgentInvoker) -> Sequence[Endpoint]:
        """What answers for an agent."""
        self._invoker = agent_invoker
        if not self.get_prefix():
            return [Endpoint("POST", "/", self._answer)]
        # Some clients look for the card below the endpoint.
        cards = [Endpoint("GET", path, self._card) for path in card.PATHS]
        return [Endpoint("POST", "", self._answer), Endpoint("POST", "/", self._answer), *cards]

    def root_routes(self) -> Sequence[BaseRoute]:
        """The card, which is at the root of a server whatever the path of the endpoint."""
        return [Route(path, self._card, methods=["GET"]) for path in card.PATHS]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """While this lasts tasks go on; what still runs in the end is canceled."""
        try:
            yield
        finally:
            left = [task for task in self._tasks if task.is_running]
            for task in left:
                task.cancel("The server ended")
            with anyio.move_on_after(_SECONDS_TO_STOP):  # A thread cannot be stopped.
                for task in left:
                    await task.gone()

    async def parse_request(
        self, request: Request, request_data: dict[str, Any]
    ) -> tuple[AgentRequest, dict[str, Any]]:
        """What an agent is asked with a message, and the task that came of it; raises RpcError."""
        params = read(SendParams, call_of(request_data).params)
        task = self._task(params, request)
        return self._question(params, task, request, stream=False), {"task": task}

    async def _card(self, request: Request) -> Response:
        described = card.card(self._config, request, needs_key=self._needs_key)
        return JSONResponse(described, headers={"cache-control": "no-cache"})

    async def _answer(self, request: Request) -> Response:
        document, dialect, method = None, _NEW, ""
        try:
            document = document_of(await request.body())
            method, params = call_of(document)
            dialect, do = _METHODS.get(method, (_NEW, None))
            _check_version(request)
            if do is None:
                raise RpcError(METHOD_NOT_FOUND, f"There is no method {method!r}")
            return await do(self, _Asked(request, id_of(document), dialect, params))
        except RpcError as error:
            told = dumps(answer(id_of(document), {"error": dialect.error(error)}))
            if method in dialect.streams_errors_of:
                return Response(b"data: %b\n\n" % told, media_type="text/event-stream")
            return Response(told, media_type="application/json")
        except ApiError as error:
            return error_answer(error)

    # Messages

    def _task(self, params: SendParams, request: Request) -> Task:
        """The task that a message belongs to, a new one or one that waits for it; raises RpcError."""
        if params.wants_push:
            raise RpcError(
                PUSH_NOT_SUPPORTED, "Push notifications are not supported: listen to the task, or ask for it"
            )
        said, sent = params.said(), params.message
        if sent.task_id:
            task = self._tasks.find(sent.task_id)
            if sent.context_id and sent.context_id != task.context_id:
                raise RpcError(INVALID_PARAMS, f"Task {task.id} belongs to another contextId than {sent.context_id!r}")
            task.check_is_waiting()
        else:
            context_id = sent.context_id or str(uuid.uuid4())
            task = Task(context_id, owner_of(request), self._config.keep_running_seconds)
            self._tasks.add(task)
        task.ask(said)
        return task

    def _question(self, params: SendParams, task: Task, request: Request, *, stream: bool) -> AgentRequest:
        return question(
            params, task, [earlier for earlier in self._tasks if earlier.is_before(task)], request, stream=stream
        )

    def _start(self, params: SendParams, task: Task, asked: _Asked, *, stream: bool) -> None:
        asking = self._question(params, task, asked.request, stream=stream)
        task.start(self._work(task, asking))

    async def _work(self, task: Task, asking: AgentRequest) -> None:
        try:
            await work(task, self._invoker.invoke_stream(asking))
        finally:
            self._tasks.weigh(task)

    async def _send(self, asked: _Asked) -> Response:
        params = read(SendParams, asked.params)
        task = self._task(params, asked.request)
        task.goes_on_alone = True
        self._start(params, task, asked, stream=False)
        if params.waits:
            await until_gone(asked.request.receive, _rest_of(task))
        length = asked.dialect.history_length(params.configuration.history_length)
        return _json(asked.result(asked.dialect.sent(task.snapshot(length))))

    async def _send_streaming(self, asked: _Asked) -> Response:
        params = read(SendParams, asked.params)
        task = self._task(params, asked.request)
        task.goes_on_alone = False
        task.touch()  # Somebody may be gone before the first frame.
        length = asked.dialect.history_length(params.configuration.history_length)
        return EventStream(self._frames(asked, task, length, lambda: self._start(params, task, asked, stream=True)))

    async def _frames(
        self, asked: _Asked, task: Task, history_length: int | None, start: Callable[[], None] | None = None
    ) -> AsyncGenerator[bytes, None]:
        with task.listening() as listener:
            yield asked.frame(asked.dialect.sent(task.snapshot(history_length)))
            if start is not None:
                start()
            async for update in listener:
                yield asked.frame(asked.dialect.update(update))

    # Tasks

    async def _get(self, asked: _Asked) -> Response:
        params = read(TaskParams, asked.params)
        task = self._tasks.find(params.id)
        task.touch()
        length = asked.dialect.history_length(params.history_length)
        return _json(asked.result(asked.dialect.task(task.snapshot(length))))

    async def _cancel(self, asked: _Asked) -> Response:
        task = self._tasks.find(read(TaskParams, asked.params).id)
        task.cancel()
        return _json(asked.result(asked.dialect.task(task.snapshot())))

    async def _subscribe(self, asked: _Asked) -> Response:
        task = self._tasks.find(read(TaskParams, asked.params).id)
        if not task.is_running:
            raise RpcError(UNSUPPORTED_OPERATION, f"Task {task.id} is {task.state}: ask for it, nothing more comes")
        return EventStream(self._frames(asked, task, None))

    async def _list(self, asked: _Asked) -> Response:
        params = read(ListParams, asked.params)
        return _json(asked.result(page(self._tasks, params, owner_of(asked.request))))

    async def _refuse_push(self, asked: _Asked) -> Response:
        raise RpcError(PUSH_NOT_SUPPORTED, "Push notifications are not supported: listen to the task, or ask for it")

    async def _refuse_card(self, asked: _Asked) -> Response:
        raise RpcError(asked.dialect.no_extended_card, "The agent has one card, the one that everybody can read")

    # By their names in 1.0 and in 0.3.
    methods = (
        ("SendMessage", "message/send", _send),
        ("SendStreamingMessage", "message/stream", _send_streaming),
        ("GetTask", "tasks/get", _get),
        ("CancelTask", "tasks/cancel", _cancel),
        ("SubscribeToTask", "tasks/resubscribe", _subscribe),
        ("ListTasks", None, _list),
        ("CreateTaskPushNotificationConfig", "tasks/pushNotificationConfig/set", _refuse_push),
        ("GetTaskPushNotificationConfig", "tasks/pushNotificationConfig/get", _refuse_push),
        ("ListTaskPushNotificationConfigs", "tasks/pushNotificationConfig/list", _refuse_push),
        ("DeleteTaskPushNotificationConfig", "tasks/pushNotificationConfig/delete", _refuse_push),
        ("GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard", _refuse_card),
    )


_Do = Callable[[A2AProtocolHandler, _Asked], Awaitable[Response]]
_METHODS: dict[str, tuple[Dialect, _Do | None]] = {
    **{new: (_NEW, do) for new, _, do in A2AProtocolHandler.methods},
    **{old: (_OLD, do) for _, old, do in A2AProtocolHandler.methods if old},
}


async def _rest_of(task: Task) -> None:
    """Wait for a task to be over; nobody needs it when nobody waits any more."""
    try:
        await task.rest()
    finally:
        if task.is_running:
            task.cancel("The client has gone")


def _check_version(request: Request) -> None:
    """Refuse versions that nobody here speaks; without one the names of methods tell which is meant."""
    version = request.headers.get("a2a-version", "")
    if version and version.partition(".")[0] != "1" and not version.startswith("0.3"):
        raise RpcError(VERSION_NOT_SUPPORTED, f"A2A {version} is not supported: 1.0 and 0.3 are")


def _json(document: Json) -> Response:
    return Response(dumps(document), media_type="application/json")
