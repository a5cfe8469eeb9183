"""MCP over streamable HTTP at `/mcp`: the agent is the one tool of a server."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agentrun._serving.asgi import Message as AsgiMessage
from agentrun._serving.asgi import Receive, Scope, Send
from agentrun._serving.openai_error import ApiError
from agentrun.errors import InvalidInputError
from agentrun.server.invoker import AgentInvoker
from agentrun.server.model import AgentRequest, MCPProtocolConfig, Message, MessageRole, ServerConfig
from agentrun.server.protocols.mcp import library
from agentrun.server.protocols.mcp.library import Call, Wire
from agentrun.server.protocols.mcp.tool import definition, failure, result
from agentrun.server.protocols.protocol import SESSION_HEADER, BaseProtocolHandler, Endpoint
from agentrun.server.streaming import until_gone

_DEFAULTS = MCPProtocolConfig()
# Where a request keeps what says that its client has gone.
_GONE = "agentrun.gone"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_log = logging.getLogger("agentrun.server")


class MCPProtocolHandler(BaseProtocolHandler):
    """Serves an agent as a tool, where the package `mcp` is installed."""

    name = "mcp"

    def __init__(self, config: ServerConfig | None = None) -> None:
        self._config = (config.mcp if config else None) or _DEFAULTS
        name = self._config.tool_name
        if name is not None and not _NAME.fullmatch(name):
            hint = "Use letters, digits, _, - and ., at most 128 of them"
            raise InvalidInputError(f"A tool cannot be called {name!r}", field="mcp.tool_name", hint=hint)
        self._is_there = library.is_installed()
        if not self._is_there:
            _log.debug("MCP is not served: the package mcp is not installed (pip install 'agentrun[tools]')")
        self._opening = asyncio.Lock()
        self._sessions: _Sessions | None = None

    def get_prefix(self) -> str:
        """The path of the endpoint."""
        return _DEFAULTS.prefix or "" if self._config.prefix is None else self._config.prefix

    def get_prefixes(self) -> Sequence[str]:
        """All paths of the endpoint: none without the package."""
        return [self.get_prefix()] if self._is_there else []

    def endpoints(self, agent_invoker: AgentInvoker) -> Sequence[Endpoint]:
        """What answers for an agent."""
        self._invoker = agent_invoker
        return [Endpoint(method, "", self._answer) for method in ("GET", "POST", "DELETE")]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """While this lasts sessions go on."""
        try:
            yield
        finally:
            sessions, self._sessions = self._sessions, None
            if sessions is not None:
                await sessions.close()

    async def parse_request(
        self, request: Request, request_data: dict[str, Any]
    ) -> tuple[AgentRequest, dict[str, Any]]:
        """What an agent is asked with the arguments of a call; raises ApiError."""
        try:
            return _question(Call("", request_data, request, None)), {}
        except InvalidInputError as error:
            raise ApiError(400, str(error), "invalid_value") from error

    async def _answer(self, request: Request) -> Response:
        async with self._opening:
            if self._sessions is None:
                self._sessions = await self._open(request.app)
        return _Relay(self._sessions.manager)

    async def _open(self, app: Any) -> _Sessions:
        self._tool_name = self._config.tool_name or _slug(app.title)
        description = self._config.description or app.description or "Ask the agent"
        tool = definition(self._tool_name, description)
        # It loads for half a second, in which others want answers.
        manager = await asyncio.to_thread(library.session_manager, app.title, tool, self._call)
        return await _Sessions.opened(manager)

    async def _call(self, call: Call) -> Wire:
        if call.name != self._tool_name:
            return failure(f"There is no tool {call.name!r}; the agent is called {self._tool_name!r}")
        try:
            question = _question(call)
        except InvalidInputError as error:
            return failure(str(error))
        work = result(self._invoker.invoke_stream(question), call.report)
        try:
            return await until_gone(_gone(call.request), work) or failure("The client has gone")
        except ApiError as error:
            return failure(error.message, error.code)


def _question(call: Call) -> AgentRequest:
    """What an agent is asked; raises InvalidInputError, which its caller, a model, can do something with."""
    message, session = call.arguments.get("message"), call.arguments.get("session_id")
    if not isinstance(message, str) or not message:
        raise InvalidInputError("The argument `message` is missing", field="message", hint="Say what to ask the agent")
    if session is not None and not isinstance(session, str):
        raise InvalidInputError("The argument `session_id` is no text", field="session_id")
    sent = call.request.headers.get(SESSION_HEADER) if call.request else None
    return AgentRequest(
        protocol="mcp",
        messages=[Message(role=MessageRole.USER, content=message)],
        stream=call.report is not None,
        session_id=session or sent,
        raw_request=call.request,
    )


def _gone(request: Request | None) -> Receive:
    """What says that the client of a request has gone: the request itself is being listened to."""
    gone = request.scope.get(_GONE) if request is not None else None

    async def receive() -> AsgiMessage:
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    return receive


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:128] or "agent"


class _Sessions:
    """The sessions of a server, which one task of its own begins and ends."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self._has_begun = asyncio.Event()
        self._is_over = asyncio.Event()

    @classmethod
    async def opened(cls, manager: Any) -> _Sessions:
        """Those of a manager, ready for requests."""
        sessions = cls(manager)
        sessions._keeper = asyncio.create_task(sessions._keep())
        begun = asyncio.create_task(sessions._has_begun.wait())
        await asyncio.wait({begun, sessions._keeper}, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if sessions._keeper.done():
            await sessions._keeper
        return sessions

    _keeper: asyncio.Task[None]

    async def _keep(self) -> None:
        async with self.manager.run():
            self._has_begun.set()
            await self._is_over.wait()

    async def close(self) -> None:
        """End them all."""
        self._is_over.set()
        await self._keeper


class _Relay(Response):
    """The answer of a manager of sessions."""

    def __init__(self, manager: Any) -> None:
        super().__init__()
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""
        gone = scope[_GONE] = asyncio.Event()
        try:
            await self._manager.handle_request(scope, receive, send)
        finally:
            gone.set()
