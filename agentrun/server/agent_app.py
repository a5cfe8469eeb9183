"""An agent as an application: it is told by decorators what the agent does, and is a FastAPI application besides."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import MethodType
from typing import Any, Protocol, TypeVar

import anyio.to_thread
from fastapi import FastAPI

from agentrun.errors import InvalidInputError
from agentrun.server.callables import makes_awaitable
from agentrun.server.endpoints import streaming
from agentrun.server.engine import Engine
from agentrun.server.frameworks import messages_for
from agentrun.server.info import Info
from agentrun.server.invoker import Around
from agentrun.server.model import (
    A2AProtocolConfig,
    AgentAPIProtocolConfig,
    AGUIProtocolConfig,
    MCPProtocolConfig,
    ProtocolConfig,
    ServerConfig,
)
from agentrun.server.runner import Runner
from agentrun.server.runs.interrupts import InterruptBackend
from agentrun.server.runs.of_app import RunOptions, Runs
from agentrun.server.serving import serve

F = TypeVar("F", bound=Callable[..., Any])
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]

_PORT = 8080
# Programs that were written for AgentScope Runtime may say what is so in any case.
_ALWAYS = {"response_type": "sse", "stream": True, "mode": "daemon_thread"}


class Deployer(Protocol):
    """A place to which applications can go; agentrun.deploy has some."""

    @property
    def deploy(self) -> Callable[..., Awaitable[dict[str, Any]]]:
        """Lets an application run there; other arguments are the place's own."""
        ...


class AgentApp(FastAPI):
    """Serves the agent of its `@app.query` in every protocol; what FastAPI has, routes and middleware, it has too.

    `before_start` and `after_finish` are called around everything, `lifespan` is FastAPI's; other arguments are those
    of FastAPI. A `runner` answers in place of the decorated functions, and `around` stands around each of its runs, as
    `keep_conversations(service)` does. Raises InvalidInputError for what is wrong.

    A session has one run at a time, over all processes that have the same `interrupt_redis_url`. With
    `enable_stream_task` runs go on in the background, each for at most `stream_task_timeout` seconds. With `broker_url`
    and `backend_url` tasks run in workers of Celery, one of which `enable_embedded_worker` starts in this process. A
    client that went away has `resume_seconds` to come back for its stream; with 0 its run is cancelled at once.
    """

    def __init__(
        self,
        *,
        app_name: str = "",
        app_description: str = "",
        endpoint_path: str = "/process",
        config: ServerConfig | None = None,
        runner: Runner | None = None,
        before_start: Callable[..., Any] | None = None,
        after_finish: Callable[..., Any] | None = None,
        lifespan: Lifespan | None = None,
        interrupt_backend: InterruptBackend | None = None,
        interrupt_redis_url: str | None = None,
        enable_stream_task: bool = False,
        stream_task_queue: str = "stream_query",
        stream_task_timeout: float | None = None,
        broker_url: str | None = None,
        backend_url: str | None = None,
        enable_embedded_worker: bool = False,
        resume_seconds: float = 0.0,
        a2a_config: A2AProtocolConfig | None = None,
        agui_config: AGUIProtocolConfig | None = None,
        custom_endpoints: Sequence[Mapping[str, Any]] = (),
        around: Sequence[Around] = (),
        **fastapi_kwargs: Any,
    ) -> None:
        if not endpoint_path.startswith("/"):
            raise InvalidInputError(
                f"{endpoint_path!r} is no path", field="endpoint_path", hint='It begins with "/", as "/process" does'
            )
        self.app_name, self.endpoint_path = app_name, endpoint_path
        self.runner = runner or Runner()
        self._around_start = (before_start, after_finish)
        self._own_lifespan = lifespan
        self.runs = Runs(
            RunOptions(
                interrupt_backend,
                interrupt_redis_url,
                enable_stream_task,
                stream_task_queue,
                stream_task_timeout,
                broker_url,
                backend_url,
                enable_embedded_worker,
                resume_seconds,
            )
        )
        told = _told(a2a=a2a_config, agui=agui_config)
        named = _named((config or ServerConfig()).model_copy(update=told), app_name, app_description, endpoint_path)
        self.engine = Engine(self.runner, named, around=[self.runs.sessions.around, *around])
        described: dict[str, Any] = {"title": app_name or "AgentApp", "description": app_description}
        super().__init__(lifespan=self._whole_lifespan, **{**described, **_of_fastapi(fastapi_kwargs)})
        self.info = Info(app_name, app_description, endpoint_path, more=self.runs.endpoints(endpoint_path))
        self.engine.health.told = self._health
        self.engine.install(self, self.info)
        self.routes.extend(self.runs.install(self.engine, endpoint_path, self._ready))
        for own in custom_endpoints:
            self.endpoint(own["path"], own.get("methods") or ("POST",))(own["handler"])

    # What the agent does

    def init(self, function: F) -> F:
        """Have this done before the first request; its first argument, `self`, is the runner."""
        self._bind("init_handler", function)
        return function

    def query(self, framework: str | None = None) -> Callable[[F], F]:
        """Have this answer: it is given `(self, msgs, request)`, with messages of the framework, and yields its own.

        Raises InvalidInputError for a framework that is not known, ImportError for one that is not installed.
        """
        messages_for(framework)  # Here and not with the first request, whose caller could do nothing about it.

        def register(function: F) -> F:
            self.runner.framework_type = framework
            self._bind("query_handler", function)
            self.engine.invoker.serve(self.runner)
            return function

        return register

    def shutdown(self, function: F) -> F:
        """Have this done after the last request; its first argument, `self`, is the runner."""
        self._bind("shutdown_handler", function)
        return function

    def endpoint(self, path: str, methods: Sequence[str] = ("POST",), **options: Any) -> Callable[[F], F]:
        """Have this answer at a path of its own; what a generator gives is streamed. Other options are FastAPI's."""

        def register(function: F) -> F:
            streamed = streaming(function)
            more: dict[str, Any] = {"response_model": None, **options} if streamed else options
            self.add_api_route(path, streamed or function, methods=list(methods), **more)
            return function

        return register

    def task(self, path: str, queue: str = "celery") -> Callable[[F], F]:
        """Have this run in the background for `POST path`, with the JSON sent there; `GET path/ID` says how far it is.

        A function of several arguments is given the fields of the JSON by their names.
        """

        def register(function: F) -> F:
            self.routes.extend(self.runs.task(path, function, queue))
            return function

        return register

    @property
    def celery(self) -> Any:
        """The application of Celery that workers are started with; None without a `broker_url`."""
        return self.runs.celery and self.runs.celery.celery

    async def stop_chat(self, user_id: str | None, session_id: str) -> bool:
        """Interrupt the run of a session, wherever it runs; False when it has none. `POST /process/stop` does it too.

        Its stream ends as a cancelled one. Returns when the run is over, after a second at the latest.
        """
        return await self.runs.sessions.stop(user_id, session_id)

    def _health(self) -> dict[str, str]:
        is_ready = self.engine.health.is_ready
        return {"status": "healthy", "mode": self.info.mode, "runner": "ready" if is_ready else "not ready"}

    def _bind(self, name: str, function: Callable[..., Any]) -> None:
        """Give the runner this as its method."""
        first = next(iter(inspect.signature(function).parameters), None)
        vars(self.runner)[name] = MethodType(function, self.runner) if first == "self" else function

    # Being served

    def run(self, host: str | None = None, port: int | None = None, web_ui: bool = False, **kwargs: Any) -> None:
        """Serve until a signal ends it; answers under way are finished before, for half a minute at most.

        Without a `host` it is that of the variable HOST, else this machine alone can reach the server: say "0.0.0.0"
        in a container. Without a `port` it is that of PORT, else 8080. `web_ui` adds a page to talk to the agent at
        `/chat`. The other arguments are those of `uvicorn.run`.
        """
        if web_ui:
            self.engine.add_page(self)
        serve(self, host, int(os.environ.get("PORT") or _PORT) if port is None else port, **kwargs)

    async def deploy(self, deploy_manager: Deployer, **options: Any) -> dict[str, Any]:
        """Bring it to another place, as in `await app.deploy(LocalDeployManager(port=8090))`; options are the place's.

        `deploy_id` of the answer names it from now on, and `url` is where it answers.
        """
        return await deploy_manager.deploy(self, **options)

    @asynccontextmanager
    async def _whole_lifespan(self, _: FastAPI) -> AsyncGenerator[Any, None]:
        async with self._ready() as state, self.runs.running():
            yield state

    @asynccontextmanager
    async def _ready(self) -> AsyncGenerator[Any, None]:
        """While this lasts the agent is ready, and all that it needs."""
        before, after = self._around_start
        async with AsyncExitStack() as stack:
            if after is not None:
                stack.push_async_callback(_called, after, self)
            if before is not None:
                await _called(before, self)
            state = await stack.enter_async_context(self._own_lifespan(self)) if self._own_lifespan else None
            await stack.enter_async_context(self.engine.running())
            yield state


def _told(**settings: ProtocolConfig | None) -> dict[str, ProtocolConfig]:
    return {name: value for name, value in settings.items() if value is not None}


def _named(config: ServerConfig, name: str, description: str, endpoint_path: str) -> ServerConfig:
    """The same configuration, in which the protocols know what the agent is called and where it is asked."""
    return config.model_copy(
        update={
            "agent_api": config.agent_api or AgentAPIProtocolConfig(prefix=endpoint_path),
            "a2a": config.a2a or A2AProtocolConfig(name=name or None, description=description or None),
            "mcp": config.mcp or MCPProtocolConfig(description=description or None),
        }
    )


def _of_fastapi(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What is an argument of FastAPI, which itself takes any; raises InvalidInputError for what is none."""
    known = inspect.signature(FastAPI).parameters
    for name, value in arguments.items():
        if name not in known and _ALWAYS.get(name) != value:
            raise InvalidInputError(
                f"AgentApp has no argument {name}={value!r}",
                field=name,
                hint="Look at help(AgentApp) and help(FastAPI)",
            )
    return {name: value for name, value in arguments.items() if name in known}


async def _called(hook: Callable[..., Any], app: AgentApp) -> None:
    """Call a hook with the application, when it takes an argument."""
    call = functools.partial(hook, app) if inspect.signature(hook).parameters else hook
    result = call() if makes_awaitable(hook) else await anyio.to_thread.run_sync(call)
    if inspect.isawaitable(result):
        await result
