"""All that an application does with runs: what it is told about them, their routes, and their beginning and end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from agentrun._serving.openai_error import bad_request
from agentrun.errors import InvalidInputError
from agentrun.server.engine import Engine
from agentrun.server.protocols.agent_api.handler import AgentAPIProtocolHandler
from agentrun.server.protocols.protocol import json_object
from agentrun.server.runs.interrupts import InterruptBackend, LocalInterruptBackend
from agentrun.server.runs.journal import Journal, LocalJournal
from agentrun.server.runs.resuming import ResumableStreams
from agentrun.server.runs.sessions import Sessions
from agentrun.server.runs.stream_tasks import DEFAULT_QUEUE, StreamTasks
from agentrun.server.runs.task_routes import answering, task_routes
from agentrun.server.runs.tasks import Function, TaskRunner, Tasks

if TYPE_CHECKING:
    from agentrun.server.runs.celery_tasks import CeleryTasks

A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True)
class RunOptions:
    """What an application is told about runs; see AgentApp."""

    interrupt_backend: InterruptBackend | None = None
    interrupt_redis_url: str | None = None
    enable_stream_task: bool = False
    stream_task_queue: str = DEFAULT_QUEUE
    stream_task_timeout: float | None = None
    broker_url: str | None = None
    backend_url: str | None = None
    enable_embedded_worker: bool = False
    resume_seconds: float = 0.0


class Runs:
    """The runs of an application; raises InvalidInputError for options that do not go together."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self.sessions = Sessions(_backend(options))
        self.celery = _celery(options)
        self.tasks: TaskRunner = Tasks() if self.celery is None else self.celery
        self._streams: StreamTasks | None = None
        self._resumes: ResumableStreams | None = None

    def install(
        self, engine: Engine, path: str, ready: Callable[[], AbstractAsyncContextManager[None]]
    ) -> Sequence[BaseRoute]:
        """The routes below the path at which the agent is asked, which is `ready` for workers while that lasts."""
        options, path = self._options, path.rstrip("/")
        needs_journal = options.resume_seconds > 0 or options.enable_stream_task
        journal = _journal(options) if needs_journal else LocalJournal()
        if options.resume_seconds > 0:
            self._resumes = ResumableStreams(options.resume_seconds, journal)
            for protocol in engine.protocols:
                if isinstance(protocol, AgentAPIProtocolHandler):
                    protocol.resumes = self._resumes
        routes: list[BaseRoute] = [Route(f"{path}/stop", answering(self._stop), methods=["POST"])]
        if options.enable_stream_task:
            self._streams = StreamTasks(
                engine.invoker,
                journal,
                self.sessions,
                ready,
                queue=options.stream_task_queue,
                timeout=options.stream_task_timeout,
                celery=self.celery,
            )
            routes += self._streams.routes(f"{path}/task")
        return routes

    def endpoints(self, path: str) -> dict[str, str]:
        """Where they are, as the application says it of itself."""
        path = path.rstrip("/")
        tasks = {"task": f"{path}/task", "task_status": f"{path}/task/{{task_id}}"}
        return {"stop": f"{path}/stop", **(tasks if self._options.enable_stream_task else {})}

    def task(self, path: str, function: Function, queue: str) -> Sequence[BaseRoute]:
        """The routes of a function that runs in the background."""
        return task_routes(path, function, self.tasks, queue)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """While this lasts there are runs; at the end they have some time to finish."""
        if self._streams is not None:
            await self._streams.start()
        await self.tasks.start()
        try:
            yield
        finally:
            await self.tasks.close()
            if self._streams is not None:
                await self._streams.close()
            if self._resumes is not None:
                await self._resumes.close()
            await self.sessions.close()

    async def _stop(self, request: Request) -> Any:
        asked = await json_object(request)
        names = [asked.get("user_id"), asked.get("session_id")]
        if not all(name is None or isinstance(name, str) for name in names) or not names[1]:
            example = '{"user_id": "u1", "session_id": "s1"}'
            raise bad_request(
                f"Name the session whose run is to be stopped, as in {example}", "invalid_value", "session_id"
            )
        return {"stopped": await self.sessions.stop(names[0], names[1])}


def _backend(options: RunOptions) -> InterruptBackend:
    if options.interrupt_backend is not None:
        if options.interrupt_redis_url is not None:
            raise InvalidInputError(
                "interrupt_backend and interrupt_redis_url answer the same question", hint="Leave one of them out"
            )
        return options.interrupt_backend
    url = _shared_url(options)
    return LocalInterruptBackend() if url is None else _of_extra("redis", "A redis:// URL", _redis_backend, url)


def _shared_url(options: RunOptions) -> str | None:
    """The Redis that all processes of the application share, where it has one."""
    url = options.interrupt_redis_url or getattr(options.interrupt_backend, "redis_url", None)
    if url is None and options.backend_url is not None:
        backend = options.backend_url.replace("redis+socket://", "unix://")
        url = backend if backend.startswith(("redis://", "rediss://", "unix://")) else None
    return url


def _redis_backend(url: str) -> InterruptBackend:
    from agentrun.server.runs.redis_interrupts import RedisInterruptBackend

    return RedisInterruptBackend(url)


def _journal(options: RunOptions) -> Journal:
    url = _shared_url(options)
    if url is not None:
        return _of_extra("redis", "A redis:// URL", _redis_journal, url)
    if options.broker_url is not None:
        raise InvalidInputError(
            "Events of runs in workers go through Redis",
            field="interrupt_redis_url",
            hint="Give its URL, or leave out enable_stream_task and resume_seconds",
        )
    return LocalJournal()


def _redis_journal(url: str) -> Journal:
    from agentrun.server.runs.redis_journal import RedisJournal

    return RedisJournal(url)


def _celery(options: RunOptions) -> CeleryTasks | None:
    if options.broker_url is None and options.backend_url is None:
        if options.enable_embedded_worker:
            raise InvalidInputError(
                "An embedded worker needs a broker",
                field="enable_embedded_worker",
                hint="Give broker_url and backend_url",
            )
        return None
    if options.broker_url is None or options.backend_url is None:
        raise InvalidInputError(
            "Celery needs a broker and a backend", field="backend_url", hint="Give both broker_url and backend_url"
        )
    return _of_extra("celery", "Celery", _celery_tasks, options)


def _celery_tasks(options: RunOptions) -> CeleryTasks:
    from agentrun.server.runs.celery_tasks import CeleryTasks

    return CeleryTasks(
        str(options.broker_url), str(options.backend_url), embedded_worker=options.enable_embedded_worker
    )


def _of_extra(extra: str, what: str, make: Callable[[A], T], argument: A) -> T:
    """What is made with a package that not everybody has; raises ImportError that says how to get it."""
    try:
        return make(argument)
    except ImportError as error:
        raise ImportError(f"{what} needs another package: pip install 'agentrun[{extra}]'") from error
