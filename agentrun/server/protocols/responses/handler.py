"""OpenAI's responses: `POST /responses`, in one piece, streamed or in the background, and what was answered before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentrun._serving.openai_error import ApiError, bad_request
from agentrun.errors import InvalidInputError, StorageError
from agentrun.server.invoker import AgentInvoker
from agentrun.server.model import AgentRequest, ResponsesProtocolConfig, ServerConfig
from agentrun.server.protocols.protocol import (
    OPENAI_PREFIXES,
    SESSION_HEADER,
    BaseProtocolHandler,
    Endpoint,
    dumps,
    json_object,
)
from agentrun.server.protocols.responses.archive import Archive, Turn
from agentrun.server.protocols.responses.item_writer import new_id
from agentrun.server.protocols.responses.items import chat
from agentrun.server.protocols.responses.recent import Limits, Recent
from agentrun.server.protocols.responses.request import CreateRequest, Item, read
from agentrun.server.protocols.responses.run import BackgroundRun, Hooks, Run
from agentrun.server.streaming import EventStream, error_answer, until_gone

_DEFAULTS = ResponsesProtocolConfig()
_MOST_ITEMS = 100
# An agent may refuse to be stopped, but not keep its server from that.
_SECONDS_TO_STOP = 10.0


class ResponsesProtocolHandler(BaseProtocolHandler):
    """Serves an agent to clients of OpenAI's responses."""

    name = "openai_responses"

    def __init__(self, config: ServerConfig | None = None) -> None:
        self._config = (config.responses if config else None) or _DEFAULTS
        self._archive = Archive(self._config)
        self._running: dict[str, Run] = {}
        self._recorded: Recent[str, BackgroundRun] = Recent(
            Limits(self._config.max_kept, self._config.max_kept_bytes, self._config.keep_seconds)
        )

    def get_prefix(self) -> str:
        """The first of the paths below which the routes are."""
        return self.get_prefixes()[0]

    def get_prefixes(self) -> Sequence[str]:
        """The paths below which the routes are."""
        return OPENAI_PREFIXES if self._config.prefix is None else [self._config.prefix]

    def endpoints(self, agent_invoker: AgentInvoker) -> Sequence[Endpoint]:
        """What answers for an agent."""

        async def create(request: Request) -> Response:
            question, context = await self.parse_request(request, await json_object(request))
            return await self._create(agent_invoker, question, context["turn"])

        one = "/responses/{response_id}"
        return [
            Endpoint("POST", "/responses", _endpoint(create)),
            Endpoint("GET", one, _endpoint(self._retrieve)),
            Endpoint("DELETE", one, _endpoint(self._delete)),
            Endpoint("POST", f"{one}/cancel", _endpoint(self._cancel)),
            Endpoint("GET", f"{one}/input_items", _endpoint(self._input_items)),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """In the end what still runs in the background is stopped, and what there is of it kept."""
        try:
            yield
        finally:
            with anyio.move_on_after(_SECONDS_TO_STOP):
                await asyncio.gather(*(run.cancel() for run in self._in_background()))
            await self._archive.stop()

    async def parse_request(
        self, request: Request, request_data: dict[str, Any]
    ) -> tuple[AgentRequest, dict[str, Any]]:
        """What an agent is asked, and the `turn` that is to be; raises ApiError, InvalidInputError, StorageError."""
        asked = read(request_data)
        items = asked.items()
        before = await self._archive.before(asked)
        response_id = new_id("resp")
        # Who goes on from this response is in the same session; one that is not kept has no other turn.
        session = request.headers.get(SESSION_HEADER) or before.session_id or (response_id if asked.is_stored else None)
        turn = Turn(asked.response(response_id), items, session, before.user_id)
        history = before.items if self._config.include_history else []
        return _question(asked, history, turn, request), {"turn": turn}

    async def _create(self, invoker: AgentInvoker, question: AgentRequest, turn: Turn) -> Response:
        if turn.response["background"]:
            return self._start(invoker, question, turn)
        run = Run(turn, invoker.invoke_stream(question), Hooks(self._began, self._save, self._ended))
        if question.stream:
            return EventStream(run.stream())
        return _object(await until_gone(question.raw_request.receive, run.whole()))

    def _start(self, invoker: AgentInvoker, question: AgentRequest, turn: Turn) -> Response:
        if len(self._in_background()) >= self._config.max_background:
            message = f"{self._config.max_background} responses run in the background already"
            raise ApiError(429, message, "rate_limit_exceeded", type="rate_limit_error")
        hooks = Hooks(self._began, self._save, self._ended)
        run = BackgroundRun(turn, invoker.invoke_stream(question), hooks, self._config.max_kept_bytes)
        answer = EventStream(run.follow(-1)) if question.stream else _object(turn.response)
        run.start()
        return answer

    async def _save(self, turn: Turn) -> None:
        if turn.response["store"]:
            await self._archive.save(turn)

    def _began(self, run: Run) -> None:
        self._running[run.turn.id] = run

    def _ended(self, run: Run) -> None:
        self._running.pop(run.turn.id, None)
        if isinstance(run, BackgroundRun):
            self._recorded.put(run.turn.id, run, run.size)

    def _in_background(self) -> list[BackgroundRun]:
        return [run for run in self._running.values() if isinstance(run, BackgroundRun)]

    async def _retrieve(self, request: Request) -> Response:
        response_id = request.path_params["response_id"]
        if request.query_params.get("stream") == "true":
            return EventStream(self._followed(response_id).follow(_starting_after(request)))
        run = self._running.get(response_id)
        return _object(run.so_far() if run else (await self._kept(response_id)).response)

    def _followed(self, response_id: str) -> BackgroundRun:
        run = self._running.get(response_id) or self._recorded.get(response_id)
        if not isinstance(run, BackgroundRun):
            message = f"There is no stream of {response_id!r}: only responses with background=true have one to resume"
            raise ApiError(404, message, "stream_not_found", "stream")
        return run

    async def _delete(self, request: Request) -> Response:
        response_id = request.path_params["response_id"]
        run = self._running.get(response_id)
        if run is not None:
            await run.cancel()
        await self._kept(response_id)
        await self._archive.delete(response_id)
        self._running.pop(response_id, None)
        self._recorded.pop(response_id)
        return JSONResponse({"id": response_id, "object": "response", "deleted": True})

    async def _cancel(self, request: Request) -> Response:
        response_id = request.path_params["response_id"]
        run = self._running.get(response_id)
        if run is None:
            return _object((await self._kept(response_id)).response)
        await run.cancel()
        return _object(run.so_far())

    async def _input_items(self, request: Request) -> Response:
        response_id = request.path_params["response_id"]
        run = self._running.get(response_id)
        items = (run.turn if run else await self._kept(response_id)).input
        return JSONResponse(_page(items, request))

    async def _kept(self, response_id: str) -> Turn:
        turn = await self._archive.find(response_id)
        if turn is None:
            raise ApiError(404, f"Response with id {response_id!r} not found", "response_not_found", "response_id")
        return turn


def _question(asked: CreateRequest, history: Sequence[Item], turn: Turn, request: Request) -> AgentRequest:
    said = {"instructions": asked.instruction_items(), "history": history, "input": turn.input}
    found = AgentRequest(
        protocol="openai_responses",
        messages=chat(said),
        stream=bool(asked.stream),
        tools=asked.chat_tools(),
        session_id=turn.session_id,
        user_id=turn.user_id,
        raw_request=request,
    )
    return found.with_more(asked.sent())


def _endpoint(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """What answers, its errors included."""

    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request)
        except ApiError as error:
            return error_answer(error)
        except InvalidInputError as error:
            return error_answer(bad_request(str(error), "invalid_value", error.field))
        except StorageError as error:
            return error_answer(ApiError(503, str(error), "storage_unavailable", type="internal_error"))

    return endpoint


def _object(response: dict[str, Any] | None) -> Response:
    # Nobody reads an answer whose client has gone.
    return Response() if response is None else Response(dumps(response), media_type="application/json")


def _starting_after(request: Request) -> int:
    given = request.query_params.get("starting_after")
    if given is None:
        return -1
    if not (given.isascii() and given.isdigit()):
        raise bad_request("starting_after is to be the number of an event", "invalid_value", "starting_after")
    return int(given)


def _page(items: Sequence[Item], request: Request) -> dict[str, Any]:
    """Some of the items, the last ones first unless the order is `asc`."""
    limit, after = request.query_params.get("limit", "20"), request.query_params.get("after")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= _MOST_ITEMS):
        raise bad_request(f"limit is to be a number from 1 to {_MOST_ITEMS}", "invalid_value", "limit")
    found = list(items) if request.query_params.get("order") == "asc" else list(reversed(items))
    places = [place for place, item in enumerate(found) if item["id"] == after]
    if after is not None and not places:
        raise bad_request(f"There is no item {after!r}", "invalid_value", "after")
    behind = found[places[0] + 1 :] if places else found
    data = behind[: int(limit)]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, **ends, "has_more": len(behind) > len(data)}
