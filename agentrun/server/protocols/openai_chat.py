"""OpenAI's chat completions: `POST /chat/completions`, in one piece or streamed, and `GET /models`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentrun._core.values import is_object
from agentrun._serving.openai_error import ApiError, bad_request
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.invoker import AgentInvoker
from agentrun.server.merging import with_addition
from agentrun.server.model import AgentRequest, OpenAIProtocolConfig, ServerConfig
from agentrun.server.protocols.frames import encoded, quoted
from agentrun.server.protocols.openai_requests import read
from agentrun.server.protocols.protocol import (
    OPENAI_PREFIXES,
    BaseProtocolHandler,
    Endpoint,
    dumps,
    failure,
    json_object,
    raw_frame,
)
from agentrun.server.streaming import EventStream, error_answer, until_gone

_DEFAULTS = OpenAIProtocolConfig()
_DEFAULT_MODEL = "agentrun"
_WORDS = {EventType.TEXT: "content", EventType.REASONING: "reasoning_content"}
_DONE = b"data: [DONE]\n\n"


class OpenAIProtocolHandler(BaseProtocolHandler):
    """Serves an agent to everything that talks to models of OpenAI."""

    name = "openai_chat_completions"

    def __init__(self, config: ServerConfig | None = None) -> None:
        self._config = (config.openai if config else None) or _DEFAULTS
        self._began = int(time.time())

    def get_prefix(self) -> str:
        """The path below which the routes are."""
        return _DEFAULTS.prefix or "" if self._config.prefix is None else self._config.prefix

    def get_prefixes(self) -> Sequence[str]:
        """All paths below which the routes are: those that clients of OpenAI use, unless one was chosen."""
        prefix = self.get_prefix()
        return OPENAI_PREFIXES if prefix == _DEFAULTS.prefix else [prefix]

    def get_model_name(self) -> str:
        """The name under which the agent appears as a model."""
        return self._config.model_name or _DEFAULT_MODEL

    def endpoints(self, agent_invoker: AgentInvoker) -> Sequence[Endpoint]:
        """What answers for an agent."""

        async def chat_completions(request: Request) -> Response:
            try:
                question, context = await self.parse_request(request, await json_object(request))
            except ApiError as error:
                return error_answer(error)
            return await self._answer(agent_invoker, question, context)

        return [
            Endpoint("POST", "/chat/completions", chat_completions),
            Endpoint("GET", "/models", self._models),
            Endpoint("GET", "/models/{model_id:path}", self._model),
        ]

    async def parse_request(
        self, request: Request, request_data: dict[str, Any]
    ) -> tuple[AgentRequest, dict[str, Any]]:
        """What an agent is asked with a request, and what the answer needs to know of it; raises ApiError."""
        question = read(request, request_data)
        options = request_data.get("stream_options")
        if options is not None and not is_object(options):
            raise bad_request("stream_options is not an object", "invalid_type", "stream_options")
        wants_usage = bool(options and options.get("include_usage"))
        return question, {"model": self.get_model_name(), "include_usage": wants_usage}

    async def _answer(self, invoker: AgentInvoker, question: AgentRequest, context: dict[str, Any]) -> Response:
        answer = _Answer(context["model"], include_usage=context["include_usage"])
        events = invoker.invoke_stream(question)
        if question.stream:
            return EventStream(answer.chunks(events))
        try:
            whole = await until_gone(question.raw_request.receive, answer.whole(events))
        except ApiError as error:
            return error_answer(error)
        return Response(dumps(whole), media_type="application/json")

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._description()]})

    async def _model(self, request: Request) -> Response:
        asked = request.path_params["model_id"]
        if asked == self.get_model_name():
            return JSONResponse(self._description())
        message = f"There is no model {asked!r}; the agent is called {self.get_model_name()!r}"
        return error_answer(ApiError(404, message, "model_not_found", "model"))

    def _description(self) -> dict[str, Any]:
        return {"id": self.get_model_name(), "object": "model", "created": self._began, "owned_by": "agentrun"}


class _Answer:
    """One answer to one request; the events of a run become deltas, and these are sent or put together."""

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self._model = model
        self._include_usage = include_usage
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._calls: dict[str, int] = {}  # Ids of calls, and their places in the answer.
        self._open: set[str] = set()  # Calls that nobody has carried out yet.
        self._usage: dict[str, int] | None = None
        self._layouts: dict[str, tuple[str, str]] = {}  # What stands around the words of a frame.

    async def chunks(self, events: AsyncGenerator[AgentEvent, None]) -> AsyncGenerator[bytes, None]:
        """The frames of a stream; raises ApiError when the agent fails."""
        role: dict[str, Any] = {"role": "assistant"}
        async with aclosing(events):
            async for event in events:
                if event.event == EventType.RAW:
                    yield raw_frame(event)
                if not role and (words := self._only_words(event)):
                    yield words
                    continue
                for delta in self._deltas(event):
                    yield self._chunk({**role, **delta})
                    role = {}
        if role:
            yield self._chunk({**role, "content": ""})
        yield self._chunk({}, self._finish_reason())
        if self._include_usage:
            yield self._frame({"choices": [], "usage": self._usage})
        yield _DONE

    def _only_words(self, event: AgentEvent) -> bytes:
        """The frame of a piece of text and nothing else, of which most of a stream is made; empty for all others."""
        name = _WORDS.get(event.event)
        delta = event.data.get("delta")
        if name is None or event.addition or not isinstance(delta, str) or not delta:
            return b""
        if event.event == EventType.TEXT:
            self._open.clear()
        if name not in self._layouts:
            before, _, after = self._chunk({name: ""}).decode().partition(f'"{name}":""')
            self._layouts[name] = (f'{before}"{name}":', after)
        before, after = self._layouts[name]
        return encoded(f"{before}{quoted(delta)}{after}")

    async def whole(self, events: AsyncGenerator[AgentEvent, None]) -> dict[str, Any]:
        """A completion; raises ApiError when the agent fails."""
        message: dict[str, Any] = {"role": "assistant", "content": None}
        async with aclosing(events):
            async for delta in self._all_deltas(events):
                _add(message, delta)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason()}
        if message["content"] is None and not self._calls:
            message["content"] = ""
        head = self._head("chat.completion")
        return {**head, "choices": [choice], **({"usage": self._usage} if self._usage else {})}

    async def _all_deltas(self, events: AsyncIterator[AgentEvent]) -> AsyncIterator[dict[str, Any]]:
        async for event in events:
            for delta in self._deltas(event):
                yield delta

    def _deltas(self, event: AgentEvent) -> Iterator[dict[str, Any]]:
        """What is new in the message by an event; what the protocol has no words for is passed over."""
        kind, data = event.event, event.data
        if kind == EventType.TEXT:
            if data.get("delta"):
                self._open.clear()  # An agent that goes on after a call has carried it out itself.
            yield with_addition({"content": str(data.get("delta") or "")}, event)
        elif kind == EventType.REASONING:
            yield with_addition({"reasoning_content": str(data.get("delta") or "")}, event)
        elif kind in (EventType.TOOL_CALL, EventType.TOOL_CALL_CHUNK):
            for call in self._call(str(data.get("id") or ""), event):
                yield with_addition({"tool_calls": [call]}, event)
        elif kind == EventType.TOOL_RESULT:
            self._open.discard(str(data.get("id") or ""))
        elif kind == EventType.HITL:
            yield with_addition({"content": str(data.get("prompt") or "")}, event)
        elif kind == EventType.USAGE:
            self._count(data)
        elif kind == EventType.ERROR:
            raise failure(event)

    def _call(self, call_id: str, event: AgentEvent) -> Iterator[dict[str, Any]]:
        is_new = call_id not in self._calls
        index = self._calls.setdefault(call_id, len(self._calls))
        arguments = str(event.data.get("args" if event.event == EventType.TOOL_CALL else "args_delta") or "")
        if is_new:
            self._open.add(call_id)
            function = {"name": str(event.data.get("name") or ""), "arguments": arguments}
            yield {"index": index, "id": call_id, "type": "function", "function": function}
        elif event.event == EventType.TOOL_CALL_CHUNK and arguments:
            yield {"index": index, "function": {"arguments": arguments}}

    def _count(self, data: dict[str, Any]) -> None:
        before = self._usage or {"prompt_tokens": 0, "completion_tokens": 0}
        read_, written = int(data.get("input_tokens") or 0), int(data.get("output_tokens") or 0)
        sums = {
            "prompt_tokens": before["prompt_tokens"] + read_,
            "completion_tokens": before["completion_tokens"] + written,
        }
        self._usage = {**sums, "total_tokens": sum(sums.values())}

    def _finish_reason(self) -> str:
        return "tool_calls" if self._open else "stop"

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._frame({"choices": [choice], **({"usage": None} if self._include_usage else {})})

    def _frame(self, fields: dict[str, Any]) -> bytes:
        return b"data: %b\n\n" % dumps({**self._head("chat.completion.chunk"), **fields})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Put a delta into a message, as a client of a stream does."""
    for name, value in delta.items():
        if name == "tool_calls":
            for call in value:
                _add_call(message.setdefault(name, []), call)
        elif isinstance(value, str) and isinstance(message.get(name), str):
            message[name] += value
        else:
            message[name] = value


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    call = {name: value for name, value in piece.items() if name != "index"}
    if "id" in call:
        calls.append(call)
    else:
        calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
