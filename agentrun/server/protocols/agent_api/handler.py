"""The Agent API over HTTP: `POST /process`, as a stream or, with `"stream": false`, as one object."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from agentrun._serving.openai_error import ApiError
from agentrun.errors import InvalidInputError
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.invoker import AgentInvoker
from agentrun.server.model import AgentAPIProtocolConfig, ServerConfig
from agentrun.server.model import AgentRequest as Question
from agentrun.server.protocols.agent_api.model import AgentRequest, AgentResponse, RunStatus
from agentrun.server.protocols.agent_api.request import chat_request, read_request
from agentrun.server.protocols.agent_api.stream import answer, refuse, response_json, stream
from agentrun.server.protocols.protocol import BaseProtocolHandler, Endpoint
from agentrun.server.runs.resuming import LAST_EVENT_ID, ResumableStreams, event_number
from agentrun.server.streaming import EventStream, error_answer, until_gone

_DEFAULTS = AgentAPIProtocolConfig()
_UNPROCESSABLE = 422
# What the writer has made of a message already; everything else that was sent goes to the agent as it is.
_TOLD = frozenset({"protocol", "messages", "stream", "tools", "session_id", "user_id"})


class AgentAPIProtocolHandler(BaseProtocolHandler):
    """Serves an agent to the clients of AgentScope Runtime."""

    name = "agent_api"

    def __init__(self, config: ServerConfig | None = None) -> None:
        self._config = (config.agent_api if config else None) or _DEFAULTS
        self.resumes: ResumableStreams | None = None

    def get_prefix(self) -> str:
        """The path of the endpoint."""
        return _DEFAULTS.prefix or "" if self._config.prefix is None else self._config.prefix

    def endpoints(self, agent_invoker: AgentInvoker) -> Sequence[Endpoint]:
        """What answers for an agent."""

        async def process(request: Request) -> Response:
            body = b""
            try:
                body = await request.body()
                asked = read_request(body)
                question = question_of(asked, request)
            except InvalidInputError as error:
                return _refused(error, body)
            except ApiError as error:
                return error_answer(error)
            return await self._answer(agent_invoker, asked, question)

        return [Endpoint("POST", "", process)]

    async def parse_request(self, request: Request, request_data: dict[str, Any]) -> tuple[Question, dict[str, Any]]:
        """What an agent is asked with a request, and what the answer needs to know of it; raises InvalidInputError."""
        asked = read_request(request_data)
        return question_of(asked, request), {"request": asked}

    async def _answer(self, invoker: AgentInvoker, asked: AgentRequest, question: Question) -> Response:
        try:
            if LAST_EVENT_ID in question.raw_request.headers:
                return EventStream(await self._rest(asked, question.raw_request.headers[LAST_EVENT_ID]))
            events = invoker.invoke_stream(question)
            if not question.stream:
                return await _whole(asked, question, events)
            frames = stream(asked, events)
            return EventStream(await self.resumes.begin(str(asked.id), frames) if self.resumes else frames)
        except ApiError as error:
            return error_answer(error)

    async def _rest(self, asked: AgentRequest, last: str) -> AsyncGenerator[bytes, None]:
        """What is behind the last event that a client has; the agent is not asked again."""
        if self.resumes is None:
            message = f"Streams cannot be gone on with here: set resume_seconds, or send it without {LAST_EVENT_ID}"
            raise ApiError(404, message, "run_not_found", LAST_EVENT_ID)
        return await self.resumes.resume(str(asked.id), event_number(last))


def question_of(asked: AgentRequest, request: Request | None = None) -> Question:
    """What an agent is asked; raises InvalidInputError for messages and tools that nobody can say in a chat."""
    chat = chat_request(asked)
    try:
        question = Question(**{name: chat[name] for name in _TOLD if name in chat}, raw_request=request)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in problem["loc"])
        raise InvalidInputError(f"AgentRequest.{path}: {problem['msg']}", field=path) from None
    more = {name: value for name, value in chat.items() if name not in _TOLD}
    return question.with_more({**more, "input": asked.input})


async def _whole(asked: AgentRequest, question: Question, events: AsyncGenerator[AgentEvent, None]) -> Response:
    status = _Status()
    response = await until_gone(question.raw_request.receive, answer(asked, status.watch(events)))
    if response is None:
        return Response()  # Nobody reads it.
    return Response(response_json(response), status.of(response), media_type="application/json")


class _Status:
    """The status of an answer in one piece: an agent that failed is no success."""

    def __init__(self) -> None:
        self._said = 500

    async def watch(self, events: AsyncGenerator[AgentEvent, None]) -> AsyncGenerator[AgentEvent, None]:
        """The same events."""
        async with aclosing(events):
            async for event in events:
                if event.event == EventType.ERROR:
                    self._said = int(event.data.get("status") or 500)
                yield event

    def of(self, response: AgentResponse) -> int:
        """The status of this response."""
        return self._said if response.status == RunStatus.FAILED.value else 200


def _refused(error: InvalidInputError, body: bytes) -> Response:
    refusal = refuse(error)
    if _wants_stream(body):
        return Response(refusal.frames, _UNPROCESSABLE, media_type="text/event-stream")
    return Response(response_json(refusal.response), _UNPROCESSABLE, media_type="application/json")


def _wants_stream(body: bytes) -> bool:
    try:
        document: Any = json.loads(body)
        return document.get("stream") is not False
    except (ValueError, AttributeError, RecursionError):
        return True
